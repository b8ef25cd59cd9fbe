"""How a model is shown a picture: its image processor's numbers, in the cheapest way.

A picture goes to the device as bytes and is normalised there, wherever that is the same as what
the image processor does; at loading, noise is prepared both ways to see. Nothing here keeps state
between calls, so `pixels` may run in several threads at once.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor
from transformers.image_processing_backends import PilBackend

from actors.errors import RowRejected, StageFailed
from actors.stage import Device

RAW = {"do_rescale": False, "do_normalize": False}
# Longest side over shortest. With only its shortest side bounded (224), a picture of 1 x 10,000
# would be shown as 224 x 2,240,000; no photo or page is near this.
NARROWEST = 50
# Largest difference to the processor's own numbers, which are within -3..3.
SAME = 1e-5
# Sizes (width, height) of the noise that is prepared both ways: lying, standing, small; GLPN sees
# none with a side below 32.
PROBES = ((613, 419), (173, 307), (43, 37))

Prepare = Callable[[Image.Image], np.ndarray]
Normal = Callable[[torch.Tensor], torch.Tensor]


def load_processor(folder: Path, backend: str = "pil") -> Any:
    """Open the image processor of a model's folder.

    Raises StageFailed when it has none, or none for this back end.
    """
    try:
        processor = AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, backend=backend
        )
    except ImportError as error:
        raise StageFailed(_no_backend(folder, backend, "needs torchvision")) from error
    except (OSError, ValueError) as error:
        raise StageFailed(f"{folder} has no image processor that opens: {error}") from error
    found = getattr(processor, "backend", "pil")
    if found != backend:
        raise StageFailed(_no_backend(folder, backend, f"has only the form '{found}'"))
    return processor


def _no_backend(folder: Path, backend: str, why: str) -> str:
    other = "torchvision" if backend == "pil" else "pil"
    return (
        f"{folder}: the model's image processor {why}, asked was image_backend: {backend};\n"
        f"  install torchvision where it is needed, or set  options: {{image_backend: {other}}}"
    )


def check_shape(image: Image.Image) -> None:
    """Raise RowRejected (image_too_narrow) for a picture that no model should be shown."""
    short, long = sorted(image.size)
    if long > NARROWEST * short:
        raise RowRejected(
            "image_too_narrow",
            f"{image.width} x {image.height} pixels; one side may have {NARROWEST} times the other",
        )


class Eye:
    """The image processor of a model's folder, on its way to a device."""

    def __init__(
        self, folder: Path, device: Device, backend: str = "pil", square: int | None = None
    ) -> None:
        """`square` shows whole pictures, not cropped, as squares of so many pixels a side, whatever
        the processor would resize them to."""
        self.device = device
        self.square = square
        self.processor = load_processor(folder, backend)
        self._change = self._normalisation()
        self._prepare, self._normal = self._fastest() if square is None else self._whole()

    @property
    def side(self) -> int | None:
        """Longest side, in pixels, that a picture is resized to; None where it is not resized."""
        if self.square is not None:
            return self.square
        size = getattr(self.processor, "size", None)
        if not getattr(self.processor, "do_resize", True) or not size:
            return None
        known = [size.get(name) for name in ("height", "width", "shortest_edge", "max_height")]
        sides = [side for side in known if side] or [size.get("longest_edge")]
        return max((int(side) for side in sides if side), default=None)

    def pixels(self, image: Image.Image) -> np.ndarray:
        """Return an RGB image as the model is shown it, not yet normalised where that is left to
        the device: (3, height, width), bytes or float32. Raises RowRejected (image_too_narrow)."""
        check_shape(image)
        return self._prepare(image)

    def tensor(self, pixels: Sequence[np.ndarray]) -> torch.Tensor:
        """Return pictures of one shape on the device, normalised: float32, (pictures, 3, height,
        width)."""
        return self._normal(torch.from_numpy(np.stack(pixels)).to(self.device.name))

    def _whole(self) -> tuple[Prepare, Normal]:
        """Return the way that shows all of a picture as a square."""
        side = self.square
        return lambda image: _channels_first(image.resize((side, side))), self._normalised

    def _fastest(self) -> tuple[Prepare, Normal]:
        """Return the cheapest way to prepare a picture that gives the processor's numbers."""
        noise = np.random.default_rng(0)
        probes = [noise.integers(0, 256, (h, w, 3), dtype=np.uint8) for w, h in PROBES]
        pictures = [Image.fromarray(probe) for probe in probes]
        wanted = [self._processed(one) for one in pictures]
        for prepare in (self._resized, self._unscaled):
            if self._gives(prepare, pictures, wanted):
                return prepare, self._normalised
        return self._processed, lambda values: values

    def _gives(
        self, prepare: Prepare, pictures: list[Image.Image], wanted: list[np.ndarray]
    ) -> bool:
        if prepare == self._resized and not self._is_plain():
            return False
        for one, right in zip(pictures, wanted, strict=True):
            found = prepare(one)
            if found.shape != right.shape or found.dtype != np.uint8:
                return False
            normal = self._normalised(torch.from_numpy(found)[None].to(self.device.name))[0]
            if np.abs(normal.cpu().numpy() - right).max() > SAME:
                return False
        return True

    def _is_plain(self) -> bool:
        """Whether the processor resizes, crops and normalises, and nothing else."""
        kind = type(self.processor)
        if not isinstance(self.processor, PilBackend) or not self.processor.do_resize:
            return False
        own = kind._preprocess is PilBackend._preprocess and kind.resize is PilBackend.resize
        return own and set(_given(self.processor.size)) in (
            {"height", "width"},
            {"shortest_edge"},
        )

    def _resized(self, image: Image.Image) -> np.ndarray:
        """Resize without going through arrays, then let the processor crop."""
        width, height = _target(_given(self.processor.size), image.size)
        small = image.resize((width, height), self.processor.resample)
        if self.processor.do_center_crop:
            return self._unscaled(small, do_resize=False)
        return _channels_first(small)

    def _unscaled(self, image: Image.Image, **settings: Any) -> np.ndarray:
        """Let the processor do all but rescaling and normalising."""
        return self._processed(image, **RAW, **settings)

    def _processed(self, image: Image.Image, **settings: Any) -> np.ndarray:
        """Let the processor do everything."""
        made = self.processor(image, return_tensors="pt", **settings)
        found: np.ndarray = made["pixel_values"][0].numpy()
        return found

    def _normalised(self, values: torch.Tensor) -> torch.Tensor:
        """Rescale and normalise (pictures, 3, height, width) of bytes, in float32."""
        values = values.float()
        if self._change is None:
            return values
        scale, shift = self._change
        return values.mul_(scale).add_(shift)

    def _normalisation(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return what bytes are multiplied by and what is added, each for three channels; None
        where nothing is to be done. 8 pictures of 224 x 224 took 0.7 ms; in four steps, 2.4."""
        processor = self.processor
        rescales = getattr(processor, "do_rescale", False)
        normalises = getattr(processor, "do_normalize", False)
        factor = processor.rescale_factor if rescales else 1.0
        mean, std = (processor.image_mean, processor.image_std) if normalises else (0.0, 1.0)
        if not rescales and not normalises:
            return None
        deviation = np.broadcast_to(std, 3).astype(np.float64)
        numbers = (factor / deviation, -np.broadcast_to(mean, 3) / deviation)
        scale, shift = (torch.tensor(each, dtype=torch.float32) for each in numbers)
        return (
            scale.reshape(-1, 1, 1).to(self.device.name),
            shift.reshape(-1, 1, 1).to(self.device.name),
        )


def _channels_first(image: Image.Image) -> np.ndarray:
    """Return an RGB image as bytes, (3, height, width)."""
    return np.ascontiguousarray(np.moveaxis(np.asarray(image), -1, 0))


def _given(size: Any) -> dict[str, int]:
    """Return the entries of a processor's size that are set."""
    return {name: int(value) for name, value in dict(size).items() if value}


def _target(size: dict[str, int], actual: tuple[int, int]) -> tuple[int, int]:
    """Return the width and height that a picture of `actual` width and height is resized to."""
    if "height" in size:
        return size["width"], size["height"]
    width, height = actual
    edge = size["shortest_edge"]
    if width <= height:
        return edge, int(edge * height / width)
    return int(edge * width / height), edge
