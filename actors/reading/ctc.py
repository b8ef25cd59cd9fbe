"""The second pass with a PP-OCR recogniser: each line's text by connectionist classification."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForTextRecognition

from actors.errors import StageFailed
from actors.images import decode
from actors.reading.boxes import Box
from actors.reading.convolutions import faster
from actors.reading.detector import Normalise, preprocessor
from actors.reading.lines import page_columns
from actors.stage import Batching, Device, Item, Pass, Row

HEIGHT = 48
MIN_WIDTH = 320
MAX_WIDTH = 3200
"""Pixels; the recognisers' own limits. A narrower line is padded on its right, as in training."""

BUCKET = 32
"""Widths are multiples of this, so that lines of equal width can meet in a micro-batch. Attention
and pooling see all of the width: other padding than a line has when alone would change it."""


class CtcReader(Pass):
    """A PP-OCR recogniser over the boxes of a page."""

    def __init__(
        self, folder: Path, device: Device, max_pixels: int, min_line_score: float
    ) -> None:
        self._max_pixels, self._min_line_score = max_pixels, min_line_score
        dtype = torch.bfloat16 if device.precision == "bf16" else torch.float32
        model = AutoModelForTextRecognition.from_pretrained(folder, dtype=dtype)
        self._model = faster(model.eval()).to(device.name)
        self._normalise = Normalise(preprocessor(folder), (0.5,) * 3, (0.5,) * 3, device)
        self._vocabulary = _vocabulary(folder, model.config.head_out_channels)
        # CPU-s a line, one core: 0.050 alone, 0.045 by four, 0.058 by eight (out of its cache).
        rows = 4 if device.name == "cpu" else 64
        self.batching = Batching("shape", rows=rows, budget=rows * MAX_WIDTH)

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """Cut out each page's lines, 48 pixels high."""
        return [self._items(row) for row in rows]

    def _items(self, row: Row) -> list[Item]:
        if not row["boxes"]:
            return []
        page = np.asarray(decode(row["image"], self._max_pixels))
        lines = [line_image(page, box) for box in row["boxes"]]
        return [Item(line, cost=line.shape[1], shape=line.shape[1]) for line in lines]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Return (text, score) for each line."""
        with torch.inference_mode():
            pixels = self._normalise([item.data for item in items])
            chances = self._model(pixel_values=pixels).last_hidden_state
            best, index = chances.max(-1)
        pairs = zip(index.cpu().numpy(), best.float().cpu().numpy(), strict=True)
        return [_collapse(self._vocabulary, *pair) for pair in pairs]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Put the lines in reading order."""
        return page_columns(row["boxes"], outputs, self._min_line_score)


def line_image(page: np.ndarray[Any, np.dtype[np.uint8]], box: Box) -> Any:
    """Cut out a line: RGB uint8, 48 high, its width rounded to the bucket, padded with grey.

    Grey (127) is what normalisation takes to zero, the padding that the model was trained with.
    """
    natural = math.ceil(HEIGHT * box.width / box.height)
    width = min(MAX_WIDTH, max(BUCKET // 2, natural))
    line = box.crop(page, (width, HEIGHT))
    full = max(MIN_WIDTH, math.ceil(width / BUCKET) * BUCKET)
    out = np.full((HEIGHT, full, 3), 127, np.uint8)
    out[:, :width] = line
    return out


def _collapse(vocabulary: Sequence[str], index: Any, chance: Any) -> tuple[str, float]:
    """Drop repeats and blanks (0); the score is the mean chance of the characters left."""
    keep = index != 0
    keep[1:] &= index[1:] != index[:-1]
    if not keep.any():
        return "", 0.0
    return "".join(vocabulary[i] for i in index[keep]), float(chance[keep].mean())


def _vocabulary(folder: Path, size: int) -> list[str]:
    """Read `size` characters, blank first, from vocab.json or preprocessor_config.json."""
    path = folder / "vocab.json"
    if path.exists():
        characters = json.loads(path.read_text("utf-8"))
    else:
        characters = preprocessor(folder).get("character_list")
    if not characters:
        raise StageFailed(
            f"{folder.name} has no characters: a recogniser needs vocab.json (a list), or "
            "character_list in preprocessor_config.json"
        )
    return list(characters) + [""] * (size - len(characters))
