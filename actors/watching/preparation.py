"""How a model is shown a frame: what its folder says of resizing, cropping and normalising.

transformers prepares videos by torchvision alone for most families; the same steps are done here
by Pillow (resizing) and on the device (normalising), so that torchvision is not needed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actors.errors import StageFailed
from actors.film import Pixels

FILES = (
    ("video_preprocessor_config.json", None),
    ("processor_config.json", "video_processor"),
    ("preprocessor_config.json", None),
)
"""Where a folder may say how frames are prepared, and below which key; the first one counts."""

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
USUAL: dict[str, dict[str, Any]] = {
    "vivit": {**HALF, "size": 256, "rescale_factor": 1 / 127.5, "offset": True},
    "timesformer": {**IMAGENET, "size": 224},
    "vjepa2": {**IMAGENET, "size": 292, "crop_size": 256},
}
"""Family -> what its processor does where the file says nothing."""

ELSE = {**HALF, "size": 224, "crop_size": 224, "resample": 2, "rescale_factor": 1 / 255}
"""The same for VideoMAE and any other family; 2 is Pillow's bilinear filter."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """Resizing and cropping in pixels, then `pixel * factor - shift`, less `mean`, over `std`.

    edge    the shortest side after resizing, or None where `size` (width, height) says both.
    size    width and height after resizing, or None; with both None nothing is resized.
    crop    width and height that are cut from the middle, or None.
    """

    edge: int | None
    size: tuple[int, int] | None
    crop: tuple[int, int] | None
    resample: Image.Resampling
    factor: float
    shift: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, folder: Path, family: str) -> "Preparation":
        """Read what a model's folder says. Raises StageFailed where it says nothing at all."""
        given = {**ELSE, **USUAL.get(family, {}), **_read(folder)}
        crop = _square(given["crop_size"]) if given.get("do_center_crop", True) else None
        if family == "vjepa2" and crop:
            # Its processor does not ask what its file says.
            given["size"] = int(crop[1] * 256 / 224)
        edge, size = _resizing(given["size"]) if given.get("do_resize", True) else (None, None)
        scaled, centred = given.get("do_rescale", True), given.get("do_normalize", True)
        return cls(
            edge,
            size,
            crop,
            Image.Resampling(given["resample"]),
            factor=float(given["rescale_factor"]) if scaled else 1.0,
            shift=float(family == "vivit" and scaled and bool(given["offset"])),
            mean=tuple(given["image_mean"]) if centred else (0.0,) * 3,
            std=tuple(given["image_std"]) if centred else (1.0,) * 3,
        )

    def shown(self, pixels: Pixels) -> NDArray[np.uint8]:
        """Return a frame resized and cropped: uint8, (3, height, width)."""
        image = Image.fromarray(pixels)
        target = self._target(image.width, image.height)
        if target != image.size:
            image = image.resize(target, self.resample)
        if self.crop:
            width, height = self.crop
            left, top = (image.width - width) // 2, (image.height - height) // 2
            image = image.crop((left, top, left + width, top + height))
        return np.ascontiguousarray(np.moveaxis(np.asarray(image), -1, 0))

    def _target(self, width: int, height: int) -> tuple[int, int]:
        """Return the width and height to resize to."""
        if self.size or not self.edge:
            return self.size or (width, height)
        long = int(self.edge * max(width, height) / min(width, height))
        return (self.edge, long) if width <= height else (long, self.edge)


def _read(folder: Path) -> Mapping[str, Any]:
    """Return the entries of the first file that says something."""
    for name, key in FILES:
        path = folder / name
        found = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        found = found.get(key, {}) if key else found
        if found:
            return {name: value for name, value in found.items() if value is not None}
    raise StageFailed(
        f"{folder} does not say how frames are prepared: it has none of"
        f" {', '.join(name for name, _ in FILES)}"
    )


def _resizing(size: Any) -> tuple[int | None, tuple[int, int] | None]:
    """Return the shortest edge, or width and height, of the forms that files have had."""
    if isinstance(size, int):
        return size, None
    if "shortest_edge" in size:
        return int(size["shortest_edge"]), None
    return None, (int(size["width"]), int(size["height"]))


def _square(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size["width"]), int(size["height"]))
