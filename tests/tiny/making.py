"""Tiny models that make pictures or change them."""

from pathlib import Path
from typing import Any

import transformers as hf

from tests.tiny.case import Case, no_model
from tests.tiny.seeing import NO_PICTURES, PICTURES, saved

BROKEN = {name: row for name, row in NO_PICTURES.items() if name != "image_too_narrow"}
"""What any task rejects that reads a picture, whatever its shape."""


def swin2sr(folder: Path, **settings: Any) -> Path:
    """Doubles a picture's sides. Without shifted windows it sees 16 pixels far at most."""
    config = hf.Swin2SRConfig(
        embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4, upscale=2, **settings
    )
    model = hf.Swin2SRForImageSuperResolution(config)
    return saved(folder, model, hf.Swin2SRImageProcessorPil(), gain=1.0)


CASES: dict[str, Case] = {
    "image-resizing": Case(no_model, PICTURES, BROKEN, {"max_side": 48, "format": "png"}),
    "image-to-image": Case(swin2sr, PICTURES, BROKEN, {"tile": 96}),
}
