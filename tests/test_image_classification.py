"""image-classification equals plain transformers and its pipeline, and names what photos show."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from actors.errors import RowRejected
from actors.models.embedded import prepare
from actors.stage import ModelFiles, Row
from actors.vision.image_classification import ImageClassification
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import features
from tests.tiny.seeing import PICTURES, THINGS, encoded, photo

Build = Callable[..., ModelFiles]
ROWS = [PICTURES[n] for n in (0, 1, 2, 4)]
"""Without the one that has transparent parts, which transformers leaves out otherwise."""

FAMILIES = ["vit", "deit", "convnext", "efficientnet", "swin", "dinov2", "resnet"]


def look(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(ImageClassification(**options), files).answer(rows)


def images(rows: list[Row]) -> list[Image.Image]:
    return [Image.open(io.BytesIO(row["image"])).convert("RGB") for row in rows]


def logits(files: ModelFiles, rows: list[Row]) -> np.ndarray:
    processor = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    model = hf.AutoModelForImageClassification.from_pretrained(files.folder).eval()
    with torch.inference_mode():
        found = [model(**processor(one, return_tensors="pt")).logits[0] for one in images(rows)]
    return torch.stack(found).numpy()


def by_label(answers: list[Any]) -> list[dict[str, float]]:
    return [{s["label"]: s["score"] for s in answer["scores"]} for answer in answers]


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_equal_plain_transformers(family: str, tiny: Build) -> None:
    files = tiny(features.classifier, family=family)
    shares = torch.tensor(logits(files, ROWS)).softmax(-1).tolist()
    assert np.ptp(shares, axis=0).max() > 0.01, "the pictures tell nothing apart"
    answers = look(files, ROWS)
    expected = [dict(zip(THINGS, row, strict=True)) for row in shares]
    assert_close(
        [{name: found[name] for name in THINGS} for found in by_label(answers)], expected, 1e-5
    )
    assert [a["label"] for a in answers] == [max(row, key=lambda n: row[n]) for row in expected]


@pytest.mark.parametrize("family", ["vit", "efficientnet"])
@pytest.mark.parametrize("kind", [None, "multi_label_classification"])
def test_scores_equal_the_pipeline(family: str, kind: str | None, tiny: Build) -> None:
    files = tiny(features.classifier, family=family, **({"problem_type": kind} if kind else {}))
    processor = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    pipeline = hf.pipeline(
        "image-classification", model=str(files.folder), image_processor=processor, device="cpu"
    )
    expected = pipeline(images(ROWS), top_k=3)
    assert_close([a["scores"] for a in look(files, ROWS, top_k=3)], expected, 1e-5)


def test_labels_below_the_threshold_are_left_out(tiny: Build) -> None:
    files = tiny(features.classifier, family="vit")
    (whole,) = look(files, ROWS[:1])
    (some,) = look(files, ROWS[:1], threshold=whole["scores"][1]["score"])
    (none,) = look(files, ROWS[:1], threshold=1.0)
    assert some["scores"] == whole["scores"][:2]
    assert none == {"label": None, "score": None, "scores": []}


def test_a_photo_is_decoded_at_a_part_of_its_size_unless_all_of_it_is_asked_for(
    tiny: Build,
) -> None:
    files = tiny(features.classifier, family="vit")
    rows = [{"image": encoded(photo(900, 700, 3), "JPEG", quality=95)}]
    (quick,), (full,) = look(files, rows), look(files, rows, decode="full")
    expected = torch.tensor(logits(files, rows)).softmax(-1)[0].tolist()
    assert_close(
        {n: by_label([full])[0][n] for n in THINGS}, dict(zip(THINGS, expected, strict=True)), 1e-5
    )
    assert quick != full
    assert_close(by_label([quick])[0], by_label([full])[0], 0.05)


def test_pictures_of_any_mode_are_classified(tiny: Build) -> None:
    modes = ("1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F")
    formats = {"CMYK": "TIFF", "YCbCr": "TIFF", "I;16": "TIFF", "I": "TIFF", "F": "TIFF"}
    grey = photo(50, 40).convert("L")
    rows = [
        {"image": encoded((grey if m in ("I;16", "I", "F") else photo(50, 40)).convert(m), f)}
        for m in modes
        for f in [formats.get(m, "PNG")]
    ]
    answers = look(tiny(features.classifier, family="vit"), rows)
    assert not [a for a in answers if isinstance(a, RowRejected)]


@pytest.mark.embedded
def test_the_embedded_model_names_its_thousand_classes(cache: Path) -> None:
    files = ModelFiles(prepare("efficientnet-lite0", cache))
    rows = [{"image": encoded(photo(300, 260, seed))} for seed in range(2)]
    shares = torch.tensor(logits(files, rows)).softmax(-1)
    answers = look(files, rows)
    assert_close([a["score"] for a in answers], shares.max(-1).values.tolist(), 1e-5)
    assert [len(a["scores"]) for a in answers] == [5, 5]
