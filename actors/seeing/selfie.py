"""MediaPipe's selfie segmentation: where in a picture people are, for people near the camera.

A picture is stretched to a square of 256 pixels. Layers are those of the published file
(https://ai.google.dev/edge/mediapipe/solutions/vision/image_segmenter).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from actors.architecture import config_in
from actors.checkpoint import fill, read_weights
from actors.images import Picture
from actors.seeing.layer import Layer
from actors.seeing.segments import Bounds, Segment, Size, semantic
from actors.stage import Batching, Device, Item

SELFIE, SELFIE_CLASS = "selfie", "SelfieForSemanticSegmentation"

SIDE = 256

# Of each block: channels within and out, kernel, stride, channels of its gate (0: none), whether
# its layers bend sharply (rectifier) or softly (hard swish).
BLOCKS = (
    (16, 16, 3, 2, 8, True),
    (72, 24, 3, 2, 0, True),
    (88, 24, 3, 1, 0, True),
    (96, 32, 5, 2, 24, False),
    (128, 32, 5, 1, 32, False),
    (128, 32, 5, 1, 32, False),
    (96, 32, 5, 1, 24, False),
    (96, 32, 5, 1, 24, False),
)
# Blocks after which the picture gets smaller: what is seen there is looked at again on the way
# back, together with the stem.
SEEN = (0, 2)


class Gate(nn.Module):
    """Squeeze and excitation: how much each channel counts, by what the whole picture shows."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.squeeze, self.excite = Layer(channels, width), Layer(width, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (pictures, channels, 1, 1) in 0..1."""
        mean = x.mean((2, 3), keepdim=True)
        return torch.sigmoid(self.excite(functional.relu(self.squeeze(mean))))


class Block(nn.Module):
    """An inverted bottleneck: wide within, narrow without."""

    def __init__(
        self, channels: int, wide: int, out: int, kernel: int, stride: int, gate: int, sharp: bool
    ) -> None:
        super().__init__()
        self.bend = functional.relu if sharp else functional.hardswish
        self.widen = Layer(channels, wide)
        self.own = Layer(wide, wide, kernel, stride, groups=wide)
        self.gate = Gate(wide, gate) if gate else None
        self.narrow = Layer(wide, out)
        self.adds = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """Return (pictures, out, height / stride, ...)."""
        y: Tensor = self.bend(self.own(self.bend(self.widen(x))))
        if self.gate is not None:
            y = y * self.gate(y)
        y = self.narrow(y)
        return x + y if self.adds else y


class Return(nn.Module):
    """A step back to a larger size, with what was seen there on the way in."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.come = Layer(channels, width)
        self.gate = Gate(width, width)
        self.across = Layer(width, width)
        self.own = Layer(width, width, 3, groups=width)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """Return (pictures, width, 2 x height, ...), the size of `seen`."""
        x = self.come(functional.interpolate(x, scale_factor=2.0, mode="bilinear"))
        both = functional.relu(self.across(seen * self.gate(seen + x) + x))
        return both + functional.relu(self.own(both))


class SelfieNetwork(nn.Module):
    """The network."""

    def __init__(self) -> None:
        super().__init__()
        before = 16
        self.stem = Layer(3, before, 3, 2)
        self.blocks = nn.ModuleList()
        for block in BLOCKS:
            self.blocks.append(Block(before, *block))
            before = block[1]
        self.local, self.whole = Layer(before, 128), Layer(before, 128)
        self.returns = nn.ModuleList((Return(128, 24), Return(24, 16), Return(16, 16)))
        self.answer = nn.ConvTranspose2d(16, 1, 2, 2)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return for (pictures, 3, 256, 256) in 0..1 how likely a person is, before the sigmoid:
        (pictures, 256, 256)."""
        x = functional.hardswish(self.stem(pixels))
        seen = [x]
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in SEEN:
                seen.append(x)
        local = functional.relu(self.local(x))
        x = local * torch.sigmoid(self.whole(x.mean((2, 3), keepdim=True)))
        for step, once in zip(self.returns, reversed(seen), strict=True):
            x = step(x, once)
        likely: Tensor = self.answer(x)
        return likely[:, 0]


class SelfieSegmenter:
    """A loaded segmenter of people."""

    side = SIDE

    def __init__(self, folder: Path, device: Device) -> None:
        torch.set_num_threads(device.threads)
        self.device = device
        names = config_in(folder)["id2label"]
        self.labels = [names[str(number)] for number in range(len(names))]
        network = SelfieNetwork()
        fill(network, read_weights(folder), folder)
        # Always in full precision: it is small.
        self.network = network.to(device.name).eval()
        self.batching = Batching("fixed", rows=8 if device.name == "cpu" else 64)

    def item(self, picture: Picture) -> Item:
        """Return a picture as the model is shown it, (256, 256, 3) bytes, and its size."""
        small = picture.image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        return Item((np.asarray(small), (picture.height, picture.width)), shape=(SIDE, SIDE))

    def answer(self, items: Sequence[Item], bounds: Bounds) -> list[tuple[list[Segment], Size]]:
        """Return per picture its segments and its size; there is nothing that `bounds` bounds."""
        pixels = torch.from_numpy(np.stack([item.data[0] for item in items])).to(self.device.name)
        with torch.inference_mode():
            person = self.network(pixels.permute(0, 3, 1, 2).float() / 255)
            both = torch.stack([torch.zeros_like(person), person], 1)
            sizes = [item.data[1] for item in items]
            return [(semantic(one, size), size) for one, size in zip(both, sizes, strict=True)]
