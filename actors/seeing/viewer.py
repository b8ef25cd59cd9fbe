"""A model of pictures, and how it is shown them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from actors.checkpoint import load_model
from actors.images import Picture
from actors.seeing.eye import Eye
from actors.stage import Batching, Device, Item

# Pixels of a micro-batch. On a CPU larger activations leave the cache; a GPU wants 64 pictures
# of 640 x 640.
PIXELS = {"cpu": 8 * 224 * 224}
PIXELS_GPU = 64 * 640 * 640
# Micro-batches of 224 x 224 in a window: the next one is decoded while this one is on the device.
# A small ViT stood still for 0.9 s in all, not for 2.9, while 48 photos of 12 megapixels came in on
# two busy cores; the CPU time was the same.
WINDOW = 2


class Viewer:
    """A model of pictures with its image processor.

    `optional` is a part whose weights the checkpoint may lack, as `load_model` has it; `square`
    shows whole pictures as squares of that side, as `Eye` does.
    """

    def __init__(
        self,
        auto: Any,
        folder: Path,
        device: Device,
        backend: str = "pil",
        *,
        optional: str | None = None,
        square: int | None = None,
    ) -> None:
        self.eye = Eye(folder, device, backend, square)
        self.model = load_model(auto, folder, device, optional)
        self.config = self.model.config
        self.device = device

    @property
    def side(self) -> int | None:
        """Longest side, in pixels, that a picture is resized to; None where it is not resized."""
        return self.eye.side

    @property
    def batching(self) -> Batching:
        """Pictures of one shape share a batch: padding would change what many models answer."""
        rows = 8 if self.device.name == "cpu" else 64
        budget = PIXELS.get(self.device.name, PIXELS_GPU)
        return Batching("shape", rows=64, budget=budget, window=WINDOW * rows)

    def item(self, picture: Picture, note: Any = None) -> Item:
        """Return the picture as the model is shown it: (3, height, width), bytes or float32.

        Raises RowRejected (image_too_narrow).
        """
        pixels = self.eye.pixels(picture.image)
        cost = pixels.shape[-1] * pixels.shape[-2]
        return Item((pixels, note) if note is not None else pixels, cost=cost, shape=pixels.shape)

    def forward(self, pixels: Sequence[np.ndarray], **inputs: Any) -> Any:
        """Return the model's output object for pictures of one shape."""
        with torch.inference_mode():
            return self.model(pixel_values=self.eye.tensor(pixels).to(self.model.dtype), **inputs)
