"""zero-shot-image-classification equals transformers' pipeline."""

import io
from collections.abc import Callable
from typing import Any

import pytest
import transformers as hf
from PIL import Image
from pydantic import ValidationError

from actors.stage import ModelFiles, Row
from actors.vision.zero_shot_image_classification import ZeroShotImageClassification
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import comparing
from tests.tiny.seeing import PICTURES

Build = Callable[..., ModelFiles]
LABELS = ("a red disc", "paper", "a good film in Paris", "{}")


def look(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(ZeroShotImageClassification(labels=LABELS, **options), files).answer(rows)


def piped(files: ModelFiles, rows: list[Row], labels: Any, template: str) -> list[Any]:
    processor = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    pipeline = hf.pipeline(
        "zero-shot-image-classification",
        model=str(files.folder),
        image_processor=processor,
        device="cpu",
    )
    images = [Image.open(io.BytesIO(row["image"])).convert("RGB") for row in rows]
    found = pipeline(images, candidate_labels=list(labels), hypothesis_template=template)
    return [{s["label"]: s["score"] for s in scores} for scores in found]


def by_label(answers: list[Any]) -> list[Any]:
    return [{s["label"]: s["score"] for s in answer["scores"]} for answer in answers]


@pytest.mark.parametrize("build", [comparing.clip, comparing.siglip])
@pytest.mark.parametrize("template", ["This is a photo of {}.", "{}"])
def test_scores_equal_the_pipeline(build: Any, template: str, tiny: Build) -> None:
    files, rows = tiny(build), [PICTURES[n] for n in (0, 1, 2, 4)]
    answers = look(files, rows, hypothesis_template=template)
    assert_close(by_label(answers), piped(files, rows, LABELS, template), 1e-5)
    assert [a["label"] for a in answers] == [a["scores"][0]["label"] for a in answers]


def test_a_row_s_own_labels_are_scored_instead(tiny: Build) -> None:
    files, own = tiny(comparing.siglip), ["good", "the capital of France", "a dog"]
    rows = [{**PICTURES[0], "candidate_labels": own}, PICTURES[0]]
    expected = piped(files, PICTURES[:1], own, "This is a photo of {}.")
    assert_close(by_label(look(files, rows))[:1], expected, 1e-5)
    assert set(by_label(look(files, rows))[1]) == set(LABELS)


def test_texts_are_padded_on_the_side_that_the_tokenizer_states(tiny: Build) -> None:
    files = tiny(comparing.siglip, padding_side="left")
    expected = piped(files, PICTURES[:2], LABELS, "{}")
    answers = look(files, list(PICTURES[:2]), hypothesis_template="{}")
    assert_close(by_label(answers), expected, 1e-5)


def test_clip_may_be_asked_about_each_label_by_itself(tiny: Build) -> None:
    (answer,) = look(tiny(comparing.clip), PICTURES[:1], activation="softmax")
    (alone,) = look(tiny(comparing.clip), PICTURES[:1], activation="sigmoid")
    assert sum(s["score"] for s in answer["scores"]) == pytest.approx(1)
    assert [s["label"] for s in alone["scores"]] == [s["label"] for s in answer["scores"]]


def test_labels_that_cannot_be_told_apart_are_refused() -> None:
    for labels, why in [(("a",), "at least two"), (("a", " "), "blank"), (("a", "a"), "twice")]:
        with pytest.raises(ValidationError, match=why):
            ZeroShotImageClassification(labels=labels)
    with pytest.raises(ValidationError, match="must hold"):
        ZeroShotImageClassification(labels=("a", "b"), hypothesis_template="a photo")
