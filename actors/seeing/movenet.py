"""MoveNet: where the joints of one person are, the one in the middle of what it is shown.

A MobileNetV2 that looks at the picture, a pyramid back to a quarter of its size, and four heads on
that: https://blog.tensorflow.org/2021/05/next-generation-pose-detection-with-movenet-and-tensorflowjs.html.
A person is cut out as a square, somewhat larger than its box, and laid before it with black where
the square leaves the picture.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from actors.architecture import config_in
from actors.checkpoint import fill, read_weights
from actors.images import Picture
from actors.seeing.eye import check_shape
from actors.seeing.joints import Pose
from actors.seeing.layer import Layer
from actors.stage import Batching, Device, Item

MOVENET, MOVENET_CLASS = "movenet", "MoveNetForPoseEstimation"

REPEATS = (1, 2, 3, 4, 3, 3, 1)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""Of the groups of MobileNetV2's blocks: how many there are, and by what the first one shrinks."""

SEEN = (1, 2, 3)
"""Groups after which the picture gets smaller: what is seen there is looked at again on the way
back."""

PYRAMID = ((64, 32), (32, 24), (24, 24))
"""Channels of each step back, before and after."""

HEAD = 96  # channels within a head

CELL = 4  # pixels of the square that one answer is for, across and down

NEAR = 1.8
"""Cells that are added to a distance before answers are divided by it; as the published graph."""

ROOM = 1.2
"""The square's side in longest sides of the person's box. With 1.0 to 1.5 joints of five persons
are off by 1.3 to 1.8 % of its longest side, with 1.75 by 2.2 %."""


class Block(nn.Module):
    """An inverted bottleneck: wide within, narrow without."""

    def __init__(self, channels: int, out: int, stride: int, wider: int) -> None:
        super().__init__()
        wide = channels * wider
        self.widen = Layer(channels, wide) if wider > 1 else None
        self.own = Layer(wide, wide, 3, stride, groups=wide)
        self.narrow = Layer(wide, out)
        self.adds = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """Return (pictures, out, height / stride, ...)."""
        y: Tensor = x if self.widen is None else functional.relu6(self.widen(x))
        y = self.narrow(functional.relu6(self.own(y)))
        return x + y if self.adds else y


class Smooth(nn.Module):
    """A convolution of each channel on its own, then one of them all."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.own = Layer(channels, channels, 3, groups=channels, bias=False)
        self.across = Layer(channels, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (pictures, width, height, ...)."""
        return functional.relu(self.across(self.own(x)))


class Answers(NamedTuple):
    """What is at each cell: how likely each joint (pictures, joints, cells, cells), where a person
    that has its middle here has its joints, how likely that is (pictures, 1, ...), and where in a
    cell each joint lies; places are y and x of each joint, in cells (pictures, 2 x joints, ...)."""

    joints: Tensor
    reach: Tensor
    middle: Tensor
    rest: Tensor


class MoveNet(nn.Module):
    """The network: `joints` to find; `widths` are those of the stem, of each group, of the top."""

    def __init__(self, joints: int, widths: Sequence[int]) -> None:
        super().__init__()
        stem, *groups, top = widths
        self.stem = Layer(3, stem, 3, 2)
        before, made = stem, []
        for number, width in enumerate(groups):
            made.append(_group(before, width, number))
            before = width
        self.groups = nn.ModuleList(made)
        self.top = Layer(before, top)
        self.lateral = nn.ModuleList(
            Layer(groups[number], width)
            for number, (width, _) in zip(SEEN, reversed(PYRAMID), strict=True)
        )
        self.enter = Layer(top, PYRAMID[0][0])
        self.smooth = nn.ModuleList(Smooth(*step) for step in PYRAMID)
        seen = PYRAMID[-1][1]
        self.heads = nn.ModuleList(
            nn.Sequential(Smooth(seen, HEAD), Layer(HEAD, width))
            for width in (joints, 2 * joints, 1, 2 * joints)
        )

    def forward(self, pixels: Tensor) -> Answers:
        """Return what is in (pictures, 3, side, side) of -1..1; likelihoods before the sigmoid."""
        x = functional.relu6(self.stem(pixels))
        seen: list[Tensor] = []
        for number, group in enumerate(self.groups):
            x = group(x)
            if number in SEEN:
                seen.append(self.lateral[len(seen)](x))
        x = self.enter(functional.relu6(self.top(x)))
        for smooth in self.smooth:
            x = smooth(functional.interpolate(x, scale_factor=2.0, mode="bilinear") + seen.pop())
        return Answers(*(head(x) for head in self.heads))


def _group(before: int, width: int, number: int) -> nn.Sequential:
    """Return blocks of one width; the first of all does not widen, the others do by 6."""
    wider = 6 if number else 1
    first = Block(before, width, STRIDES[number], wider)
    return nn.Sequential(first, *(Block(width, width, 1, 6) for _ in range(REPEATS[number] - 1)))


def placed(found: Answers) -> tuple[Tensor, Tensor]:
    """Return where each joint is, x and y in cells (pictures, joints, 2), and how sure that is.

    The person is the likeliest near the middle of the picture; of the places of a joint that one
    counts which is likely, and near to where the person's middle says.
    """
    likely, cells = found.joints.sigmoid(), found.joints.shape[-1]
    count, joints = likely.shape[:2]
    half = found.middle.new_full((1, 2), cells / 2)
    middles = found.middle.sigmoid().flatten(1) / _far(half, cells)
    middle = middles.argmax(1).reshape(count, 1, 1).expand(-1, 2 * joints, 1)
    reach = found.reach.flatten(2).gather(2, middle).reshape(count, joints, 2)
    wanted = reach + _cell(middle[:, :1], cells)
    near = likely.flatten(2) / _far(wanted, cells)
    best = near.argmax(2, keepdim=True)
    own = found.rest.reshape(count, joints, 2, -1)
    rest = own.gather(3, best[..., None].expand(-1, -1, 2, -1))[..., 0]
    points = rest + _cell(best, cells)
    return points.flip(-1), likely.flatten(2).gather(2, best)[..., 0]


def _cell(number: Tensor, cells: int) -> Tensor:
    """Return y and x of cells that are counted row by row (..., 1)."""
    return torch.cat([number // cells, number % cells], -1)


def _far(points: Tensor, cells: int) -> Tensor:
    """Return by what answers are divided of points (..., y and x): how far each cell is."""
    every = _cell(torch.arange(cells * cells, device=points.device)[:, None], cells)
    return (points[..., None, :] - every).square().sum(-1).sqrt() + NEAR


class MoveNetPoser:
    """A loaded MoveNet; `names` are those of its joints."""

    def __init__(self, folder: Path, device: Device) -> None:
        torch.set_num_threads(device.threads)
        self.device = device
        config: dict[str, Any] = config_in(folder)
        self.side = int(config["side"])
        names = config["id2label"]
        self.names = [names[str(number)] for number in range(len(names))]
        network = MoveNet(len(self.names), config["widths"])
        fill(network, read_weights(folder), folder)
        # Always in full precision: it is small.
        self.network = network.to(device.name).eval()
        self.batching = Batching("fixed", rows=8 if device.name == "cpu" else 64)

    def check(self, picture: Picture) -> None:
        """Raise RowRejected (image_too_narrow) where it cannot be looked at."""
        check_shape(picture.image)

    def items(self, picture: Picture, boxes: Sequence[Sequence[float]]) -> list[Item]:
        """Return each person as the model is shown it, (side, side, 3) bytes, its box as x, y,
        width and height, and where its square lies; `boxes` are edges."""
        return [self._item(picture, *box) for box in boxes]

    def _item(self, picture: Picture, left: float, top: float, right: float, bottom: float) -> Item:
        width, height = right - left, bottom - top
        side = max(width, height) * ROOM
        square = (left + (width - side) / 2, top + (height - side) / 2, side)
        return Item((_cut(picture.image, *square, self.side), (left, top, width, height), square))

    def infer(self, items: Sequence[Item]) -> list[Pose]:
        """Return the pose of each person."""
        pixels = torch.from_numpy(np.stack([item.data[0] for item in items])).to(self.device.name)
        with torch.inference_mode():
            found = self.network(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1)
            points, scores = (part.cpu().numpy() for part in placed(found))
        both = zip(points, scores, items, strict=True)
        return [Pose(self._moved(one, *item.data[2]), sure) for one, sure, item in both]

    def _moved(self, points: np.ndarray, left: float, top: float, side: float) -> np.ndarray:
        """Return points in cells of a square as pixels of the picture."""
        moved: np.ndarray = points * (CELL * side / self.side) + [left, top]
        return moved.astype(np.float32)


def _cut(image: Image.Image, left: float, top: float, side: float, size: int) -> np.ndarray:
    """Return a square of the picture, of `size` pixels, black where it leaves the picture."""
    right, bottom = min(left + side, image.width), min(top + side, image.height)
    inside, scale = (max(left, 0.0), max(top, 0.0), right, bottom), size / side
    square = Image.new("RGB", (size, size))
    if inside[0] < right and inside[1] < bottom:
        width = max(1, round((right - inside[0]) * scale))
        height = max(1, round((bottom - inside[1]) * scale))
        part = image.resize((width, height), Image.Resampling.BILINEAR, inside)
        square.paste(part, (round((inside[0] - left) * scale), round((inside[1] - top) * scale)))
    return np.asarray(square)
