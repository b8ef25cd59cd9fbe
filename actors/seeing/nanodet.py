"""NanoDet-g: a small convolutional detector of the 80 things of COCO.

A picture is resized to fit a square, its sides kept in proportion, and laid in the middle of it on
black. Layers are those of https://github.com/RangiLyu/nanodet (config/nanodet-g.yml), their
normalizations folded into the convolutions, as they are for inference.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from actors.checkpoint import fill, read_weights
from actors.images import Picture
from actors.seeing.distances import Found, Level, found
from actors.stage import Batching, Device, Item

NANODET, NANODET_CLASS = "nanodet", "NanoDetForObjectDetection"

SIZES: dict[str, Any] = {
    "side": 416,
    "stem": 32,
    "blocks": [[32, 1, 1], [64, 2, 2], [128, 2, 2], [256, 3, 2]],
    "width": 128,
    "strides": [8, 16, 32],
    "steps": 11,
}
"""Of the published weights: pixels of the square; channels; of each block the channels, the
branches and the stride; channels of the heads; pixels between points; distances told apart."""

# Blue, green, red: the mean and deviation of pixels that the weights were trained with.
MEAN = (103.53, 116.28, 123.675)
DEVIATION = (57.375, 57.12, 58.395)


class Layer(nn.Module):
    """A convolution that keeps the size, but for its stride, and a leaky rectifier."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (pictures, width, height / stride, ...)."""
        return functional.leaky_relu(self.conv(x), 0.1)


class Branch(nn.Module):
    """Two layers of half the channels, their outputs side by side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Layer(channels, channels // 2)
        self.second = Layer(channels // 2, channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return as many channels as came."""
        half = self.first(x)
        return torch.cat([self.second(half), half], 1)


class Block(nn.Module):
    """A layer, and what branches make of it, side by side: twice the channels."""

    def __init__(self, channels: int, branches: int, stride: int) -> None:
        super().__init__()
        self.before = Layer(channels, channels, stride)
        self.branches = nn.Sequential(*(Branch(channels) for _ in range(branches)))
        self.after = Layer(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (pictures, 2 x channels, height / stride, ...)."""
        x = self.before(x)
        return torch.cat([self.after(self.branches(x)), x], 1)


class NanoDet(nn.Module):
    """The network: `labels` things to find, the rest as config.json states it (see SIZES)."""

    def __init__(self, labels: int, sizes: dict[str, Any]) -> None:
        super().__init__()
        blocks, width = sizes["blocks"], sizes["width"]
        self.labels = labels
        self.strides = sizes["strides"]
        self.stem = Layer(3, sizes["stem"], 2)
        self.blocks = nn.ModuleList(Block(*block) for block in blocks)
        seen = [2 * channels for channels, *_ in blocks[-len(self.strides) :]]
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in seen)
        answers = labels + 4 * sizes["steps"]
        self.heads = nn.ModuleList(
            nn.Sequential(Layer(width, width), nn.Conv2d(width, answers, 1)) for _ in seen
        )

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return for (pictures, 3, side, side), per stride, (pictures, side / stride, side /
        stride, labels + 4 x steps): labels before the sigmoid, distances before softmax."""
        x = functional.max_pool2d(self.stem(pixels), 3, 2, 1)
        seen = []
        for block in self.blocks:
            x = block(x)
            seen.append(x)
        levels = [net(x) for net, x in zip(self.lateral, seen[-len(self.heads) :], strict=True)]
        both = _joined(levels)
        return [head(x).permute(0, 2, 3, 1) for head, x in zip(self.heads, both, strict=True)]


def _joined(levels: list[Tensor]) -> list[Tensor]:
    """Add what coarse levels see to the fine ones, then what those see to the coarse ones."""
    down = levels[-1:]
    for level in reversed(levels[:-1]):
        down.insert(0, level + _resized(down[0], level))
    up = down[:1]
    for level in down[1:]:
        up.append(level + _resized(up[-1], level))
    return up


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=like.shape[-2:], mode="bilinear")


class NanoDetDetector:
    """A loaded NanoDet: finds the things that its labels name."""

    def __init__(self, folder: Path, device: Device) -> None:
        torch.set_num_threads(device.threads)
        config = json.loads((folder / "config.json").read_text("utf-8"))
        self.labels = [name for _, name in sorted(config["id2label"].items(), key=_number)]
        self.side: int = config["side"]
        self.device = device
        network = NanoDet(len(self.labels), config)
        fill(network, read_weights(folder), folder)
        # Always in full precision: it is small.
        self.network = network.to(device.name).eval()
        self.batching = Batching("fixed", rows=8 if device.name == "cpu" else 64)

    def item(self, picture: Picture) -> Item:
        """Return a picture as the model is shown it, (3, side, side) bytes, with the place of the
        picture in the square and its size in the file."""
        square, place = _laid(picture.image, self.side)
        pixels = np.ascontiguousarray(np.asarray(square)[:, :, ::-1].transpose(2, 0, 1))
        return Item((pixels, (*place, picture.width, picture.height)), shape=pixels.shape)

    def infer(self, items: Sequence[Item]) -> list[Found]:
        """Return what is found in each picture; boxes in pixels of the file's upright picture."""
        pixels = torch.from_numpy(np.stack([item.data[0] for item in items])).to(self.device.name)
        with torch.inference_mode():
            levels = self.network(_normal(pixels))
        return [self._found(n, levels, item.data[1]) for n, item in enumerate(items)]

    def _found(self, number: int, levels: list[Tensor], place: tuple[int, ...]) -> Found:
        labels = len(self.labels)
        things = found(
            [
                Level(stride, level[number, ..., :labels].sigmoid(), level[number, ..., labels:])
                for stride, level in zip(self.network.strides, levels, strict=True)
            ]
        )
        return things._replace(boxes=_placed(things.boxes, place))


def _number(entry: tuple[str, str]) -> int:
    return int(entry[0])


def _normal(pixels: Tensor) -> Tensor:
    """Normalise (pictures, 3, side, side) of bytes, blue first."""
    mean, deviation = (
        torch.tensor(numbers, device=pixels.device).reshape(3, 1, 1)
        for numbers in (MEAN, DEVIATION)
    )
    return (pixels.float() - mean) / deviation


def _laid(image: Image.Image, side: int) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """Return a picture laid in the middle of a black square, and where: left, top, width,
    height in pixels of the square."""
    scale = side / max(image.size)
    width, height = (max(1, round(edge * scale)) for edge in image.size)
    left, top = (side - width) // 2, (side - height) // 2
    square = Image.new("RGB", (side, side))
    square.paste(image.resize((width, height), Image.Resampling.BILINEAR), (left, top))
    return square, (left, top, width, height)


def _placed(boxes: NDArray[np.float32], place: tuple[int, ...]) -> NDArray[np.float32]:
    """Return boxes of the square in pixels of the picture, within it."""
    left, top, width, height, full_width, full_height = place
    across, down = full_width / width, full_height / height
    moved = (boxes - [left, top, left, top]) * [across, down, across, down]
    return np.clip(moved, 0, [full_width, full_height] * 2).astype(np.float32)
