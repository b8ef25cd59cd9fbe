"""Detectors that answer at the points of grids: what is there, and how far it reaches.

They are small networks of our own, for weights that transformers has no class for; each says how a
picture is laid before it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from actors.architecture import config_in
from actors.checkpoint import fill, read_weights
from actors.images import Picture
from actors.seeing.distances import Found, Level, found
from actors.stage import Batching, Device, Item

Sizes = dict[str, Any]
"""What config.json says of a network's shape."""


class Place(NamedTuple):
    """Where a picture lies in what the model sees, in its pixels."""

    left: int
    top: int
    width: int
    height: int


class PointNetwork(nn.Module):
    """A network that returns for (pictures, 3, height, width), per stride, (pictures, height /
    stride, width / stride, labels + 4 x steps): labels before the sigmoid, distances before
    softmax."""

    strides: Sequence[int]

    def __init__(self, labels: int, sizes: Sizes) -> None:
        super().__init__()
        self.strides = sizes["strides"]
        self.answers: int = labels + 4 * sizes["steps"]


class PointDetector:
    """A loaded detector: finds the things that its labels name."""

    network_class: ClassVar[type[PointNetwork]]
    # Mean and deviation of the pixels that the weights were trained with, channel by channel.
    mean: ClassVar[tuple[float, ...]]
    deviation: ClassVar[tuple[float, ...]]

    def __init__(self, folder: Path, device: Device) -> None:
        torch.set_num_threads(device.threads)
        self.device = device
        self.config = config_in(folder)
        names: dict[str, str] = self.config["id2label"]
        self.labels = [names[str(number)] for number in range(len(names))]
        network = self.network_class(len(self.labels), self.config)
        fill(network, read_weights(folder), folder)
        # Always in full precision: it is small.
        self.network = network.to(device.name).eval()
        self.batching = Batching("fixed", rows=8 if device.name == "cpu" else 64)

    @property
    def side(self) -> int:
        """Longest side, in pixels, that a picture is resized to."""
        raise NotImplementedError

    def laid(self, image: Image.Image) -> tuple[NDArray[np.uint8], Place]:
        """Return what the model is shown of a picture, (height, width, 3), and where it lies."""
        raise NotImplementedError

    def item(self, picture: Picture) -> Item:
        """Return a picture as the model is shown it: bytes, with its place and size in the file."""
        pixels, place = self.laid(picture.image)
        size = (picture.width, picture.height)
        return Item((np.ascontiguousarray(pixels.transpose(2, 0, 1)), place, size))

    def infer(self, items: Sequence[Item]) -> list[Found]:
        """Return what is found in each picture; boxes in pixels of the file's upright picture."""
        pixels = torch.from_numpy(np.stack([item.data[0] for item in items])).to(self.device.name)
        with torch.inference_mode():
            levels = self.network(self._normal(pixels))
        return [self._found(n, levels, *item.data[1:]) for n, item in enumerate(items)]

    def _normal(self, pixels: Tensor) -> Tensor:
        """Normalise (pictures, 3, height, width) of bytes."""
        mean, deviation = (
            torch.tensor(numbers, device=pixels.device).reshape(3, 1, 1)
            for numbers in (self.mean, self.deviation)
        )
        return (pixels.float() - mean) / deviation

    def _found(
        self, number: int, levels: list[Tensor], place: Place, size: tuple[int, int]
    ) -> Found:
        labels = len(self.labels)
        things = found(
            [
                Level(stride, level[number, ..., :labels].sigmoid(), level[number, ..., labels:])
                for stride, level in zip(self.network.strides, levels, strict=True)
            ]
        )
        return things._replace(boxes=_placed(things.boxes, place, size)).with_size()


def _placed(boxes: NDArray[np.float32], place: Place, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return boxes of what the model saw in pixels of the picture, within it."""
    across, down = size[0] / place.width, size[1] / place.height
    moved = (boxes - [place.left, place.top] * 2) * [across, down, across, down]
    return np.clip(moved, 0, [*size, *size]).astype(np.float32)
