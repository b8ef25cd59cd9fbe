"""Pictures, whole and broken, and tiny models that look at them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import transformers as hf
from PIL import Image, ImageDraw

from tests.tiny.case import Case, Row
from tests.tiny.text import labelled, scatter

SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
THINGS = ["apple", "bicycle", "cat", "door", "engine"]


def photo(width: int = 96, height: int = 64, seed: int = 0) -> Image.Image:
    """Coloured discs on a gradient: different in every part, and for every seed."""
    chance = np.random.default_rng(seed)
    down, right = np.mgrid[0:height, 0:width]
    paper = np.stack([down * 255 // height, right * 255 // width, (down + right) % 256], axis=-1)
    image = Image.fromarray(paper.astype(np.uint8))
    for _ in range(6):
        x, y = chance.integers(0, width), chance.integers(0, height)
        r = int(chance.integers(4, max(5, min(width, height) // 3)))
        colour = tuple(int(c) for c in chance.integers(0, 256, 3))
        ImageDraw.Draw(image).ellipse((x - r, y - r, x + r, y + r), fill=colour)
    return image


def encoded(image: Image.Image, format: str = "PNG", **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **settings)
    return buffer.getvalue()


def _truncated(image: Image.Image) -> bytes:
    whole = encoded(image, "JPEG")
    return whole[: len(whole) // 2]


PICTURES: list[Row] = [
    {"image": encoded(photo(96, 64, 1))},
    {"image": encoded(photo(64, 96, 2), "JPEG")},
    {"image": encoded(photo(40, 40, 3).convert("L"))},
    {"image": encoded(photo(150, 100, 4).convert("RGBA"), "WEBP")},
    {"image": encoded(photo(20, 30, 5))},
]
"""Pictures of several sizes, formats and modes, for any task that reads one."""

NO_PICTURES: dict[str, Row] = {
    "null_input": {"image": None},
    "empty_file": {"image": b""},
    "unreadable_image": {"image": b"this is text, and no picture"},
    "truncated_image": {"image": _truncated(photo(320, 240))},
    "image_too_narrow": {"image": encoded(photo(1200, 8))},
}
"""What any task on one picture rejects: reason -> row."""


def saved(folder: Path, model: Any, *parts: Any, gain: float = 1.3) -> Path:
    """Scatter the model's weights and save it with its processor or tokenizer."""
    scatter(model, gain).save_pretrained(folder)
    for part in parts:
        part.save_pretrained(folder)
    return folder


def sees(kind: Any = hf.ViTImageProcessorPil, side: int = 32, **settings: Any) -> Any:
    """An image processor for squares of `side`."""
    return kind(size={"height": side, "width": side}, **settings)


def vit(folder: Path, **settings: Any) -> Path:
    """A classifier of THINGS."""
    config = hf.ViTConfig(image_size=32, patch_size=8, **SIZE, **labelled(THINGS), **settings)
    return saved(folder, hf.ViTForImageClassification(config), sees())


CASES: dict[str, Case] = {"image-classification": Case(vit, PICTURES, NO_PICTURES)}
