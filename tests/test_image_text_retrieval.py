"""image-text-retrieval equals CLIP, SigLIP, BLIP and ViLT called the plain transformers way."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from actors.errors import RowRejected
from actors.multimodal.image_text_retrieval import ImageTextRetrieval
from actors.stage import ModelFiles, Row
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import comparing
from tests.tiny.comparing import PAIRS
from tests.tiny.seeing import PICTURES, encoded, photo

Build = Callable[..., ModelFiles]
# Pillow's pictures are transformers' own only where nothing was laid on white before.
ROWS = [{**PAIRS[n], "text": PAIRS[n]["text"][:30]} for n in (0, 1, 2, 4)]


def compare(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(ImageTextRetrieval(**options), files).answer(rows)


def plainly(files: ModelFiles, auto: Any, row: Row, **padding: Any) -> Any:
    """The model's own answer to one picture with its text."""
    processor = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    tokenizer = hf.AutoTokenizer.from_pretrained(files.folder)
    model = auto.from_pretrained(files.folder, dtype=torch.float32).eval()
    image = Image.open(io.BytesIO(row["image"])).convert("RGB")
    words = tokenizer([row["text"]], return_tensors="pt", truncation=True, **padding)
    with torch.inference_mode():
        return model(**processor(image, return_tensors="pt"), **words)


def vectors_of(found: Any, score: float) -> Mapping[str, Any]:
    image, text = found.image_embeds[0].numpy(), found.text_embeds[0].numpy()
    return {
        "image_embedding": image,
        "text_embedding": text,
        "similarity": float(image @ text),
        "match_score": score,
        "text_truncated": False,
    }


def test_siglip_s_vectors_and_match_are_those_of_the_model(tiny: Build) -> None:
    files = tiny(comparing.siglip)
    padding = {"padding": "max_length", "max_length": 64}
    found = [plainly(files, hf.AutoModel, row, **padding) for row in ROWS]
    expected = [vectors_of(one, float(one.logits_per_image.sigmoid())) for one in found]
    assert_close(compare(files, ROWS), expected, 1e-5)


def test_clip_s_vectors_are_those_of_the_model_and_its_match_is_the_clip_score(tiny: Build) -> None:
    files = tiny(comparing.clip)
    found = [plainly(files, hf.AutoModel, row) for row in ROWS]
    cosines = [float((one.image_embeds @ one.text_embeds.T)[0, 0]) for one in found]
    clip_scores = [min(1.0, max(0.0, 2.5 * cosine)) for cosine in cosines]
    expected = [vectors_of(one, score) for one, score in zip(found, clip_scores, strict=True)]
    assert_close(compare(files, ROWS), expected, 1e-5)


def test_a_match_by_blip_is_its_matching_head_s(tiny: Build) -> None:
    files = tiny(comparing.blip)
    found = [plainly(files, hf.BlipForImageTextRetrieval, row) for row in ROWS]
    scores = [float(one.itm_score.softmax(-1)[0, 1]) for one in found]
    expected = [{"match_score": score, "text_truncated": False} for score in scores]
    assert_close(compare(files, ROWS, answer="match"), expected, 1e-5)


def test_a_match_by_vilt_is_the_sigmoid_of_its_rank_whatever_the_picture_s_shape(
    tiny: Build,
) -> None:
    files = tiny(comparing.vilt)
    found = [plainly(files, hf.ViltForImageAndTextRetrieval, row) for row in ROWS]
    scores = [float(one.logits.sigmoid()) for one in found]
    assert_close([a["match_score"] for a in compare(files, ROWS, answer="match")], scores, 1e-5)


def test_a_match_by_vectors_is_the_one_beside_them(tiny: Build) -> None:
    files = tiny(comparing.siglip)
    beside = [answer["match_score"] for answer in compare(files, ROWS)]
    alone = [answer["match_score"] for answer in compare(files, ROWS, answer="match")]
    assert_close(alone, beside, 1e-6)


def test_a_row_may_lack_its_picture_or_its_text(tiny: Build) -> None:
    files = tiny(comparing.clip)
    (both,) = compare(files, [PAIRS[1]])
    only_text, only_image = compare(files, [{"text": PAIRS[1]["text"]}, PICTURES[1]])
    nothing = {"similarity": None, "match_score": None}
    assert_close(only_text, {**both, **nothing, "image_embedding": None}, 1e-5)
    lacks_text = {"text_embedding": None, "text_truncated": None}
    assert_close(only_image, {**both, **nothing, **lacks_text}, 1e-5)
    (rejected,) = compare(files, [PICTURES[1]], answer="match")
    assert isinstance(rejected, RowRejected) and rejected.reason == "null_input"


@pytest.mark.parametrize(
    ("text", "reason"),
    [("good " * 200_000, "too_long"), (" \n", "empty_text"), ("a\ud800", "invalid_text")],
)
def test_texts_that_cannot_be_read_whole(text: str, reason: str, tiny: Build) -> None:
    (rejected,) = compare(tiny(comparing.clip), [{"text": text}], too_long="reject")
    assert isinstance(rejected, RowRejected) and rejected.reason == reason


def test_a_long_text_is_read_as_far_as_the_model_goes(tiny: Build) -> None:
    long, same = "x" * 500 + "y", "x" * 500 + "\x00שלום🙂"
    answers = compare(tiny(comparing.clip), [{"text": long}, {"text": same}, {"text": "🙂\x00"}])
    assert [answer["text_truncated"] for answer in answers] == [True, True, False]
    assert np.abs(answers[0]["text_embedding"] - answers[1]["text_embedding"]).max() < 1e-6


def test_what_cannot_be_compared_is_refused_before_a_model_is_loaded() -> None:
    blip = {"architectures": ["BlipForImageTextRetrieval"], "model_type": "blip"}
    assert "only does  answer: match" in str(ImageTextRetrieval().check(blip))
    assert ImageTextRetrieval(answer="match").check(blip) is None
    assert "column of images" in str(ImageTextRetrieval().wired((), None))
    assert "column of each" in str(ImageTextRetrieval(answer="match").wired(("text",), None))
    assert ImageTextRetrieval().wired(("text",), None) is None


def test_vilt_looks_at_all_of_a_picture_where_its_file_asks_for_a_draw(tmp_path: Path) -> None:
    drawing = ModelFiles(comparing.vilt(tmp_path, max_image_length=3))
    first, second = (compare(drawing, ROWS, answer="match") for _ in range(2))
    assert_close(first, second, 1e-6)


def test_a_picture_too_narrow_for_vilt_is_rejected(tiny: Build) -> None:
    narrow = {"image": encoded(photo(10, 390)), "text": "a line"}
    answer, beside = compare(tiny(comparing.vilt), [narrow, ROWS[0]], answer="match")
    assert answer.reason == "image_too_narrow"
    assert beside["match_score"] > 0
