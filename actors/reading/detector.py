"""The first pass over a page: where its lines of text stand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForObjectDetection

from actors.architecture import config_in
from actors.errors import StageFailed
from actors.images import decode
from actors.reading.boxes import find_boxes
from actors.reading.convolutions import faster
from actors.stage import Batching, Device, Item, Pass, Row

MEAN = (0.406, 0.456, 0.485)
STD = (0.225, 0.224, 0.229)
"""Red, green, blue. PP-OCR was trained with ImageNet's numbers on channels the other way round."""

STEP = 32  # the network halves its input five times


class Detector(Pass):
    """A PP-OCR text detector. Gives the row the column `boxes`: a list of Box, in page pixels."""

    def __init__(
        self, folder: Path, device: Device, max_side: int, threshold: float, max_pixels: int
    ) -> None:
        self._max_side, self._threshold, self._max_pixels = max_side, threshold, max_pixels
        self._device = device
        self._model = _network(folder, device)
        self._normalise = Normalise(preprocessor(folder), MEAN, STD, device)
        # One page a time is best on a CPU (two: 6 % slower each); a GPU wants more work at once.
        rows = 1 if device.name == "cpu" else 16
        self.batching = Batching("shape", rows=rows, budget=rows * max_side**2)

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """Decode and shrink each page to at most `max_side`, both sides a multiple of 32."""
        return [[self._item(row)] for row in rows]

    def _item(self, row: Row) -> Item:
        page = decode(row["image"], self._max_pixels)
        scale = min(1.0, self._max_side / max(page.size))
        width, height = (max(STEP, round(side * scale / STEP) * STEP) for side in page.size)
        small = np.asarray(page.resize((width, height), 2))  # bilinear, as in training
        return Item((small, page.size), cost=width * height, shape=(width, height))

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Return heat maps (height, width; float32) with the size (width, height) of the page."""
        pixels = self._normalise([item.data[0] for item in items])
        with torch.inference_mode():
            heat = self._model(pixel_values=pixels).last_hidden_state[:, 0].float().cpu().numpy()
        return [(one, item.data[1]) for one, item in zip(heat, items, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Add the boxes."""
        [(heat, size)] = outputs
        return {**row, "boxes": find_boxes(heat, size, self._threshold)}


class Normalise:
    """Batches of uint8 pixels to what a PP-OCR network takes: blue first, scaled, on the device."""

    def __init__(
        self,
        config: Mapping[str, Any],
        mean: Sequence[float],
        std: Sequence[float],
        device: Device,
    ) -> None:
        self._mean = _per_channel(config.get("image_mean") or mean, device)
        self._std = _per_channel(config.get("image_std") or std, device)
        self._device = device

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Return (images, 3, height, width), stored channels last, in the device's precision."""
        pixels = torch.from_numpy(np.stack(images)).to(self._device.name)
        pixels = (pixels.float() / 255 - self._mean) / self._std
        return precise(pixels.flip(-1).permute(0, 3, 1, 2), self._device)


def _per_channel(values: Sequence[float], device: Device) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device.name)


def precise(tensor: torch.Tensor, device: Device) -> torch.Tensor:
    """Return the tensor in the stage's precision."""
    return tensor.bfloat16() if device.precision == "bf16" else tensor


def preprocessor(folder: Path) -> dict[str, Any]:
    """Return preprocessor_config.json, or nothing where a model folder has none."""
    path = folder / "preprocessor_config.json"
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def _network(folder: Path, device: Device) -> torch.nn.Module:
    kind = config_in(folder).get("model_type", "")
    if not (kind.startswith("pp_ocr") and kind.endswith("_det")):
        raise StageFailed(f"the detector is a '{kind}' model; a PP-OCR one ('pp_ocr..._det') fits")
    dtype = torch.bfloat16 if device.precision == "bf16" else torch.float32
    model = AutoModelForObjectDetection.from_pretrained(folder, dtype=dtype)
    network: torch.nn.Module = faster(model.eval()).to(device.name)
    return network
