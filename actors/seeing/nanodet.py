"""NanoDet-g: a small convolutional detector of the 80 things of COCO.

A picture is resized to fit a square, its sides kept in proportion, and laid in the middle of it on
black. Layers are those of https://github.com/RangiLyu/nanodet (config/nanodet-g.yml), their
normalizations folded into the convolutions, as they are for inference.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from actors.seeing.point_detector import Place, PointDetector, PointNetwork, Sizes

NANODET, NANODET_CLASS = "nanodet", "NanoDetForObjectDetection"

SIZES: Sizes = {
    "side": 416,
    "stem": 32,
    "blocks": [[32, 1, 1], [64, 2, 2], [128, 2, 2], [256, 3, 2]],
    "width": 128,
    "strides": [8, 16, 32],
    "steps": 11,
}
"""Of the published weights: pixels of the square; channels; of each block the channels, the
branches and the stride; channels of the heads; pixels between points; distances told apart."""


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


class NanoDet(PointNetwork):
    """The network: `labels` things to find, the rest as config.json states it (see SIZES)."""

    def __init__(self, labels: int, sizes: Sizes) -> None:
        super().__init__(labels, sizes)
        blocks, width = sizes["blocks"], sizes["width"]
        self.stem = Layer(3, sizes["stem"], 2)
        self.blocks = nn.ModuleList(Block(*block) for block in blocks)
        seen = [2 * channels for channels, *_ in blocks[-len(self.strides) :]]
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in seen)
        self.heads = nn.ModuleList(
            nn.Sequential(Layer(width, width), nn.Conv2d(width, self.answers, 1)) for _ in seen
        )

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return what is at each point, per stride."""
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


class NanoDetDetector(PointDetector):
    """A loaded NanoDet."""

    network_class = NanoDet
    # Of blue, green, red: its pictures come in this order.
    mean = (103.53, 116.28, 123.675)
    deviation = (57.375, 57.12, 58.395)

    @property
    def side(self) -> int:
        """The side of the square."""
        return int(self.config["side"])

    def laid(self, image: Image.Image) -> tuple[NDArray[np.uint8], Place]:
        """Lay a picture in the middle of a black square, as large as it fits, blue first."""
        scale = self.side / max(image.size)
        width, height = (max(1, round(edge * scale)) for edge in image.size)
        place = Place((self.side - width) // 2, (self.side - height) // 2, width, height)
        square = Image.new("RGB", (self.side, self.side))
        square.paste(image.resize((width, height), Image.Resampling.BILINEAR), place[:2])
        return np.asarray(square)[:, :, ::-1], place
