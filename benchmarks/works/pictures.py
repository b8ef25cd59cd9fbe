"""image-classification of 640 x 480 JPEGs by a ViT of the size "small"."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from PIL import Image

from benchmarks.corpus import photo
from benchmarks.models import make_vit

ALIKE = 0.98
LIKE_PIPELINE = True
COUNT = 96
STAGE = ("image-classification", {"top_k": 1})
MODEL = hf.ViTForImageClassification
WIDTH, HEIGHT, QUALITY = 640, 480, 85
SIDE, BATCH = 224, 8
"""What the model is shown, and pictures in a batch: those of actors/seeing/viewer.py on a CPU."""


def make(folder: Path) -> None:
    make_vit(folder, width=384, heads=6)


def rows(count: int) -> list[dict[str, Any]]:
    return jpegs(count, WIDTH, HEIGHT)


def jpegs(count: int, width: int, height: int) -> list[dict[str, Any]]:
    """Files of pictures made from a seed, as a camera or a chat writes them."""
    random = np.random.default_rng(2)
    found = []
    for _ in range(count):
        file = io.BytesIO()
        Image.fromarray(photo(random, width, height)).save(file, "JPEG", quality=QUALITY)
        found.append({"image": file.getvalue()})
    return found


def answer_of(answer: dict[str, Any]) -> Any:
    return answer["label"], round(answer["score"], 3)


def bare(folder: Path, given: list[dict[str, Any]]) -> list[Any]:
    model = hf.AutoModelForImageClassification.from_pretrained(folder).eval()
    found: list[Any] = []
    for start in range(0, len(given), BATCH):
        pixels = np.stack([pixels_of(row["image"]) for row in given[start : start + BATCH]])
        with torch.inference_mode():
            inputs = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
            scores = model(pixel_values=inputs).logits.softmax(-1)
        found += _named(scores.numpy(), model.config.id2label)
    return found


def pixels_of(file: bytes) -> np.ndarray:
    """Decode at a scale of JPEG's with twice SIDE pixels; (SIDE, SIDE, 3), uint8."""
    image = Image.open(io.BytesIO(file))
    image.draft("RGB", (2 * SIDE, 2 * SIDE))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _named(scores: np.ndarray, labels: dict[int, str]) -> list[Any]:
    return [(labels[int(row.argmax())], round(float(row.max()), 3)) for row in scores]


def pipeline(folder: Path, given: list[dict[str, Any]], batch: int) -> list[Any]:
    pipe = hf.pipeline("image-classification", str(folder))
    images = [Image.open(io.BytesIO(row["image"])) for row in given]
    answers = pipe(images, batch_size=batch, top_k=1)
    return [(answer[0]["label"], round(answer[0]["score"], 3)) for answer in answers]


def daft(folder: Path, given: list[dict[str, Any]]) -> list[Any]:
    """Daft decodes, and a class of the user's holds the model."""
    import daft as engine

    answer_type = engine.DataType.struct(
        {"label": engine.DataType.string(), "score": engine.DataType.float64()}
    )

    @engine.cls(max_concurrency=1)
    class Classify:
        def __init__(self) -> None:
            self._model = MODEL.from_pretrained(folder).eval()
            self._processor = hf.AutoImageProcessor.from_pretrained(folder, backend="pil")

        @engine.method.batch(return_dtype=answer_type, batch_size=BATCH)
        def answers(self, images: Any) -> Any:
            inputs = self._processor(list(images.to_pylist()), return_tensors="pt")
            with torch.inference_mode():
                scores = self._model(**inputs).logits.softmax(-1).numpy()
            named = _named(scores, self._model.config.id2label)
            return [{"label": label, "score": score} for label, score in named]

    files = engine.from_pydict({"image": [row["image"] for row in given]})
    image = engine.functions.decode_image(engine.col("image"))
    found = files.select(Classify().answers(image).alias("answer")).to_pydict()["answer"]
    return [(answer["label"], answer["score"]) for answer in found]
