"""PicoDet on LCNet: a small convolutional detector, here of the regions of a page.

A page is stretched to the size that the weights were trained with. Layers are those of
PaddleDetection's picodet_lcnet (https://github.com/PaddlePaddle/PaddleDetection).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from actors.seeing.point_detector import Place, PointDetector, PointNetwork, Sizes

PICODET, PICODET_CLASS = "picodet", "PicoDetForObjectDetection"

SIZES: Sizes = {
    "height": 800,
    "width": 608,
    "stem": 16,
    "blocks": [
        [
            *([32, 3, 1, False], [64, 3, 2, False], [64, 3, 1, False]),
            *([128, 3, 2, False], [128, 3, 1, False]),
        ],
        [[256, 3, 2, False], *([[256, 5, 1, False]] * 5)],
        [[512, 5, 2, True], [512, 5, 1, True]],
    ],
    "channels": 128,
    "depth": 4,
    "strides": [8, 16, 32, 64],
    "steps": 8,
}
"""Of the published weights: pixels of a page; channels; of each block at a level the channels, the
kernel, the stride and whether it has a gate; channels and depth of the heads; pixels between
points; distances told apart."""


class Layer(nn.Sequential):
    """A convolution, normalized, and a hard swish."""

    def __init__(
        self, channels: int, width: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, 1, groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(width), nn.Hardswish())


class Gate(nn.Module):
    """Squeeze and excitation: channels weighed by what the whole picture shows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 4, 1)
        self.excite = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return what came, weighed."""
        small = functional.relu(self.squeeze(x.mean((2, 3), keepdim=True)))
        return x * functional.hardsigmoid(self.excite(small))


class Separable(nn.Sequential):
    """A layer for each channel by itself, and one across them."""

    def __init__(
        self, channels: int, width: int, kernel: int = 5, stride: int = 1, gated: bool = False
    ) -> None:
        own = Layer(channels, channels, kernel, stride, groups=channels)
        gate = [Gate(channels)] if gated else []
        super().__init__(own, *gate, Layer(channels, width))


class Merge(nn.Module):
    """Two levels laid on each other, partly looked at again: (.., 2 x width, ..) -> width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.short = Layer(2 * width, width // 2)
        self.long = nn.Sequential(
            Layer(2 * width, width // 2),
            Layer(width // 2, width // 2),
            Separable(width // 2, width // 2),
        )
        self.both = Layer(width, width)

    def forward(self, here: Tensor, other: Tensor) -> Tensor:
        """Return what both show together."""
        x = torch.cat([here, other], 1)
        short = self.short(x)
        joined: Tensor = self.both(torch.cat([self.long(x), short], 1))
        return joined


class Neck(nn.Module):
    """What coarse levels see goes to the fine ones, and back; a coarser level is added."""

    def __init__(self, seen: list[int], width: int) -> None:
        super().__init__()
        steps = range(len(seen) - 1)
        self.lateral = nn.ModuleList(Layer(channels, width) for channels in seen)
        self.down = nn.ModuleList(Merge(width) for _ in steps)
        self.smaller = nn.ModuleList(Separable(width, width, stride=2) for _ in steps)
        self.up = nn.ModuleList(Merge(width) for _ in steps)
        self.coarsest = nn.ModuleList(Separable(width, width, stride=2) for _ in range(2))

    def forward(self, seen: list[Tensor]) -> list[Tensor]:
        """Return the levels from the finest to the coarsest, one more than came."""
        levels = [layer(x) for layer, x in zip(self.lateral, seen, strict=True)]
        fine = levels[-1:]
        for merge, level in zip(self.down, reversed(levels[:-1]), strict=True):
            twice = functional.interpolate(fine[0], scale_factor=2.0, mode="nearest")
            fine.insert(0, merge(twice, level))
        both = fine[:1]
        for smaller, merge, level in zip(self.smaller, self.up, fine[1:], strict=True):
            both.append(merge(smaller(both[-1]), level))
        first, second = self.coarsest
        return [*both, first(levels[-1]) + second(both[-1])]


class PicoDet(PointNetwork):
    """The network: `labels` things to find, the rest as config.json states it (see SIZES)."""

    def __init__(self, labels: int, sizes: Sizes) -> None:
        super().__init__(labels, sizes)
        before, levels = sizes["stem"], []
        self.stem = Layer(3, before, 3, 2)
        for blocks in sizes["blocks"]:
            widths = [before, *(block[0] for block in blocks)]
            levels.append([Separable(n, *b) for n, b in zip(widths, blocks, strict=False)])
            before = widths[-1]
        self.levels = nn.ModuleList(nn.Sequential(*level) for level in levels)
        width = sizes["channels"]
        self.neck = Neck([blocks[-1][0] for blocks in sizes["blocks"]], width)
        self.heads = nn.ModuleList(self._head(width, sizes["depth"]) for _ in self.strides)

    def _head(self, width: int, depth: int) -> nn.Sequential:
        layers = (Separable(width, width) for _ in range(depth))
        return nn.Sequential(*layers, nn.Conv2d(width, self.answers, 1))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return what is at each point, per stride."""
        x, seen = self.stem(pixels), []
        for level in self.levels:
            x = level(x)
            seen.append(x)
        pairs = zip(self.heads, self.neck(seen), strict=True)
        return [head(x).permute(0, 2, 3, 1) for head, x in pairs]


class PicoDetDetector(PointDetector):
    """A loaded PicoDet."""

    network_class = PicoDet
    mean = (123.675, 116.28, 103.53)
    deviation = (58.395, 57.12, 57.375)

    @property
    def side(self) -> int:
        """The longer side of a page."""
        return int(max(self.config["height"], self.config["width"]))

    def laid(self, image: Image.Image) -> tuple[NDArray[np.uint8], Place]:
        """Stretch a page to the model's size."""
        width, height = self.config["width"], self.config["height"]
        page = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(page), Place(0, 0, width, height)
