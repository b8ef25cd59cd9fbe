"""visual-grounding: Grounding DINO and OWLv2, as transformers reads their answers."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

from actors.detections import box_of
from actors.errors import RowRejected, StageFailed
from actors.images import decode
from actors.multimodal.visual_grounding import VisualGrounding
from actors.stage import ModelFiles, Row
from actors.worker import Worker
from tests.close import assert_close, assert_same_things
from tests.tiny.grounding import ASKED, grounding_dino, owlv2
from tests.tiny.seeing import PICTURES, encoded, photo

Build = Callable[..., ModelFiles]
OWN = [row for row in ASKED if row["phrases"]]
PARTS = {
    grounding_dino: (hf.GroundingDinoProcessor, hf.BertTokenizer),
    owlv2: (hf.Owlv2Processor, hf.CLIPTokenizer),
}


@cache
def opened(build: Any, folder: Path) -> tuple[Any, Any]:
    model = hf.AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    whole, words = PARTS[build]
    eye = hf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    return model, whole(eye, words.from_pretrained(folder))


def plain(build: Any, folder: Path, row: Row) -> list[Row]:
    """What transformers finds of a row's phrases, best first: score and box, in the picture."""
    model, processor = opened(build, folder)
    image = decode(row["image"])
    made = processor(images=image, text=[row["phrases"]], return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**made)
    sizes = [(image.height, image.width)]
    (found,) = processor.post_process_grounded_object_detection(
        outputs, threshold=0.0, target_sizes=sizes, text_labels=[row["phrases"]]
    )
    edges = torch.tensor([image.width, image.height] * 2)
    boxes = found["boxes"].clamp(min=torch.zeros(4), max=edges).tolist()
    rows = [
        {"score": score, "box": box_of(box), "label": label}
        for score, box, label in zip(
            found["scores"].tolist(), boxes, found["text_labels"], strict=True
        )
        if box[0] < box[2] and box[1] < box[3]  # OWLv2 sees its padding, beside the picture
    ]
    there = [one for one in rows if not is_empty(one["box"])]
    return sorted(there, key=lambda one: -one["score"])


def is_empty(box: Row) -> bool:
    """Whether nothing of a box lies in the picture."""
    return bool(box["xmin"] >= box["xmax"] or box["ymin"] >= box["ymax"])


def found(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(VisualGrounding(**{"threshold": 0, **options}), files).answer(rows)


@pytest.mark.parametrize("build", [grounding_dino, owlv2])
def test_what_is_found_is_what_transformers_finds(build: Any, tiny: Build) -> None:
    files = tiny(build)
    for row, answer in zip(OWN, found(files, OWN), strict=True):
        wanted = plain(build, files.folder, row)
        here = [{n: one[n] for n in ("score", "box", "label")} for one in answer["detections"]]
        if build is grounding_dino:  # its text_labels are all tokens that the box likes
            wanted = [{**one, "label": own["label"]} for one, own in zip(wanted, here, strict=True)]
        assert_same_things(here, wanted)
        assert {one["label"] for one in here} <= set(row["phrases"])


def test_pipeline_gives_one_phrase_the_same_scores(tiny: Build) -> None:
    files = tiny(owlv2)
    eye = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    pipe = hf.pipeline("zero-shot-object-detection", str(files.folder), image_processor=eye)
    wanted = pipe(decode(PICTURES[0]["image"]), candidate_labels=["a cat"], threshold=0.0)
    (answer,) = found(files, PICTURES[:1], phrases=("a cat",))
    # Its boxes may lie in the grey below the picture, which is 96 x 64; ours do not.
    scores = [one["score"] for one in wanted if one["box"]["ymin"] < 64]
    assert_close([one["score"] for one in answer["detections"]], scores, 1e-5)


def test_a_phrase_of_grounding_dino_is_the_one_whose_token_a_box_likes_best(tiny: Build) -> None:
    files = tiny(grounding_dino)
    (answer,) = found(files, ASKED[:1])
    model = hf.AutoModelForZeroShotObjectDetection.from_pretrained(files.folder).eval()
    eye = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    # [CLS] a cat . a red sofa . [SEP]
    text = hf.BertTokenizer.from_pretrained(files.folder)("a cat. a red sofa.", return_tensors="pt")
    with torch.inference_mode():
        made = eye(decode(ASKED[0]["image"]), return_tensors="pt")
        likes = model(**made, **text).logits.sigmoid()[0]
    order = likes.amax(-1).argsort(descending=True)
    firsts, others = likes[order, 1:3].amax(-1), likes[order, 4:7].amax(-1)
    labels = ["a red sofa" if red else "a cat" for red in (others > firsts).tolist()]
    assert [one["label"] for one in answer["detections"]] == labels
    assert [one["label_id"] for one in answer["detections"]] == [int("red" in n) for n in labels]


def test_a_phrase_that_owl_cannot_read_whole_is_rejected(tiny: Build) -> None:
    (answer,) = found(tiny(owlv2), [{**PICTURES[0], "phrases": ["a very long phrase " * 5]}])
    assert isinstance(answer, RowRejected) and answer.reason == "too_long"


@pytest.mark.parametrize("phrases", [["\x00"], ["مرحبا"], ["🦊"], ["a\nb"], ["x" * 10_000]])
def test_strange_phrases_are_answered_or_rejected(phrases: list[str], tiny: Build) -> None:
    (answer,) = found(tiny(grounding_dino), [{**PICTURES[0], "phrases": phrases}])
    reason = getattr(answer, "reason", None)
    assert reason in (None, "invalid_text", "too_long")


def test_phrases_must_come_from_somewhere() -> None:
    assert VisualGrounding(phrases=("a cat",)).wired({"image"}, None) is None
    assert VisualGrounding().wired({"image", "phrases"}, None) is None
    assert "what is to be found" in str(VisualGrounding().wired({"image"}, None))


@pytest.mark.parametrize("build", [grounding_dino, owlv2])
def test_boxes_lie_in_the_picture_and_hold_some_of_it(build: Any, tiny: Build) -> None:
    rows = [{"image": encoded(photo(96, 48, seed)), "phrases": ["a cat"]} for seed in range(6)]
    for answer in found(tiny(build), rows, threshold=0.0):
        boxes = [thing["box"] for thing in answer["detections"]]
        assert len(boxes) == answer["detection_count"] > 0
        assert not any(map(is_empty, boxes))
        assert all(box["xmax"] <= 96 and box["ymax"] <= 48 for box in boxes)


def test_phrases_that_no_row_could_be_asked_are_refused_before_the_first(tiny: Build) -> None:
    stage = VisualGrounding(phrases=("a cat. a dog",))
    assert "ends a phrase" in str(stage.check({"model_type": "grounding-dino"}))
    assert stage.check({"model_type": "owlv2"}) is None
    for build in (grounding_dino, owlv2):
        with pytest.raises(StageFailed, match="tokens"):
            Worker(VisualGrounding(phrases=("a cat " * 300,)), tiny(build))
