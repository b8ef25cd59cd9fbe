"""Super-resolution: a picture in, the same picture with more pixels out, tile by tile."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForImageToImage

from actors.images import Picture
from actors.painting.tiles import Tile, tiles
from actors.seeing.viewer import Viewer
from actors.stage import Batching, Device, Item

Enlarged = tuple[int, int, np.ndarray]
"""A piece of the result: its left and top edge, and its pixels (height, width, 3), bytes."""


class Upscaler:
    """A model for super-resolution, with the tiles that it is shown: `side` pixels with a halo,
    or the whole picture where side is None."""

    def __init__(self, folder: Path, device: Device, side: int | None, halo: int) -> None:
        self.viewer = Viewer(AutoModelForImageToImage, folder, device)
        self.side = side
        self.halo = halo
        self.factor = int(self.viewer.config.upscale)
        # One tile at a time on a CPU: it fills the cores by itself, and memory stays small.
        rows = 1 if device.name == "cpu" else 16
        self.batching = Batching("shape", rows=rows, budget=rows * (side or 512) ** 2)

    def items(self, picture: Picture) -> list[Item]:
        """Return the picture's tiles. Raises RowRejected (image_too_narrow)."""
        width, height = picture.image.size
        side = self.side or max(width, height)
        found = tiles(width, height, side, self.halo)
        if len(found) == 1:
            return [self.viewer.item(picture, found[0])]
        return [self._item(picture.image, tile) for tile in found]

    def _item(self, image: Image.Image, tile: Tile) -> Item:
        part = image.crop(tile.box)
        return self.viewer.item(Picture(part, part.width, part.height), tile)

    def enlarge(self, items: Sequence[Item]) -> list[Enlarged]:
        """Return what each tile lends the result."""
        made = self.viewer.forward([item.data[0] for item in items]).reconstruction
        bytes_ = made.float().clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()
        return [
            self._kept(np.moveaxis(pixels, 0, -1), item.data[1])
            for pixels, item in zip(bytes_, items, strict=True)
        ]

    def _kept(self, pixels: np.ndarray, tile: Tile) -> Enlarged:
        """Cut off the halo and what a picture was padded with."""
        factor = self.factor
        left, top = tile.across.first * factor, tile.down.first * factor
        x, y = left - tile.across.start * factor, top - tile.down.start * factor
        width = (tile.across.last - tile.across.first) * factor
        height = (tile.down.last - tile.down.first) * factor
        return left, top, np.ascontiguousarray(pixels[y : y + height, x : x + width])

    def whole(self, pieces: Sequence[Enlarged]) -> Image.Image:
        """Return the picture that pieces cover."""
        height = max(top + pixels.shape[0] for _, top, pixels in pieces)
        width = max(left + pixels.shape[1] for left, _, pixels in pieces)
        found: Any = np.empty((height, width, 3), np.uint8)
        for left, top, pixels in pieces:
            found[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return Image.fromarray(found)
