"""Conv-TasNet (Luo and Mesgarani, 2019): one channel in, its sources out, on raw samples.

A folder of one holds model.safetensors and config.json: architecture ConvTasNet, `sampling_rate`,
and the fields of `Size`. Parameters and fields are named as in Asteroid, whose ConvTasNet answers
the same within 1e-8 at equal weights. A checkpoint of it is converted, where it is trusted, by

    saved = torch.load("pytorch_model.bin", weights_only=True)
    safetensors.torch.save_file(saved["state_dict"], "model.safetensors")
    config = {"architectures": ["ConvTasNet"], **saved["model_args"]}
    pathlib.Path("config.json").write_text(json.dumps(config))

SpeechBrain's SepFormer is not read: it needs torchaudio.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv_transpose1d, pad

from actors.architecture import config_in
from actors.errors import StageFailed

# What is written in config.json beside the size, where only one value is built.
FIXED = {"norm_type": "gLN", "causal": False}
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "linear": lambda found: found,
}


@dataclass(frozen=True, slots=True)
class Size:
    """The shape of a Conv-TasNet, under Asteroid's names and with its defaults.

    n_src               sources that it tells apart
    n_filters           filters of the learned transform; kernel_size and stride in samples
    bn_chan, skip_chan  channels between blocks, and of what they add to the masks
    hid_chan            channels inside a block
    n_blocks, n_repeats blocks of growing dilation, and how often they are repeated
    """

    n_src: int = 2
    n_filters: int = 512
    kernel_size: int = 16
    stride: int = 8
    bn_chan: int = 128
    hid_chan: int = 512
    skip_chan: int = 128
    conv_kernel_size: int = 3
    n_blocks: int = 8
    n_repeats: int = 3
    mask_act: str = "sigmoid"
    encoder_activation: str | None = None


class GlobalNorm(nn.Module):
    """Normalizes over channels and time together: it hears padding, so there must be none."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, heard: Tensor) -> Tensor:
        """(items, channels, frames) -> the same shape."""
        variance, mean = torch.var_mean(heard, dim=(1, 2), keepdim=True, correction=0)
        normal = (heard - mean) / (variance + 1e-8).sqrt()
        return self.gamma[:, None] * normal + self.beta[:, None]


class Block(nn.Module):
    """A dilated convolution, channel by channel, between two that mix channels."""

    def __init__(self, size: Size, dilation: int) -> None:
        super().__init__()
        inner, kernel = size.hid_chan, size.conv_kernel_size
        self.shared_block = nn.Sequential(
            nn.Conv1d(size.bn_chan, inner, 1),
            nn.PReLU(),
            GlobalNorm(inner),
            nn.Conv1d(
                inner, inner, kernel, padding=(kernel - 1) * dilation // 2,
                dilation=dilation, groups=inner,
            ),
            nn.PReLU(),
            GlobalNorm(inner),
        )  # fmt: skip
        self.res_conv = nn.Conv1d(inner, size.bn_chan, 1)
        self.skip_conv = nn.Conv1d(inner, size.skip_chan, 1)

    def forward(self, heard: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is added to the stream, and what is added to the masks."""
        found = self.shared_block(heard)
        return self.res_conv(found), self.skip_conv(found)


class Masker(nn.Module):
    """Says how much of each filter belongs to each source."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        bottleneck = nn.Conv1d(size.n_filters, size.bn_chan, 1)
        self.bottleneck = nn.Sequential(GlobalNorm(size.n_filters), bottleneck)
        dilations = [2**number for number in range(size.n_blocks)] * size.n_repeats
        self.TCN = nn.ModuleList(Block(size, dilation) for dilation in dilations)
        masks = nn.Conv1d(size.skip_chan, size.n_src * size.n_filters, 1)
        self.mask_net = nn.Sequential(nn.PReLU(), masks)

    def forward(self, seen: Tensor) -> Tensor:
        """(items, filters, frames) -> (items, sources, filters, frames)."""
        stream = self.bottleneck(seen)
        total = torch.zeros((), device=seen.device)
        for block in self.TCN:
            residual, skip = block(stream)
            stream, total = stream + residual, total + skip
        masks = self.mask_net(total).view(
            len(seen), self.size.n_src, self.size.n_filters, seen.shape[-1]
        )
        return ACTIVATIONS[self.size.mask_act](masks)


class Filters(nn.Module):
    """The filters of a learned transform: (filters, 1, samples)."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self._filters = nn.Parameter(torch.empty(size.n_filters, 1, size.kernel_size))
        nn.init.xavier_normal_(self._filters)


class Transform(nn.Module):
    """Holds its filters one level down, as Asteroid's file names them."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.filterbank = Filters(size)

    @property
    def filters(self) -> Tensor:
        """The filters."""
        return self.filterbank._filters


class ConvTasNet(nn.Module):
    """The whole separator, in full precision."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.encoder, self.masker, self.decoder = Transform(size), Masker(size), Transform(size)

    def forward(self, mixtures: Tensor) -> Tensor:
        """(items, samples) -> (items, sources, samples)."""
        seen = conv1d(mixtures[:, None], self.encoder.filters, stride=self.size.stride)
        seen = ACTIVATIONS[self.size.encoder_activation or "linear"](seen)
        masked = (self.masker(seen) * seen[:, None]).flatten(0, 1)
        made = conv_transpose1d(masked, self.decoder.filters, stride=self.size.stride)
        sources = made.view(len(mixtures), self.size.n_src, made.shape[-1])
        return pad(sources, (0, mixtures.shape[-1] - sources.shape[-1]))


def load(folder: Path) -> tuple[ConvTasNet, int]:
    """Return the model in a folder, ready to infer, and its rate in Hz. Raises StageFailed."""
    config = config_in(folder)
    other = [name for name, value in FIXED.items() if config.get(name, value) != value]
    if other:
        raise StageFailed(f"{folder}: {other[0]} must be {FIXED[other[0]]!r} in config.json")
    model = ConvTasNet(_size(config))
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except RuntimeError as error:
        raise StageFailed(f"{folder}: the weights do not fit config.json: {error}") from None
    rate = config.get("sampling_rate") or config.get("sample_rate")
    if not rate:
        raise StageFailed(f"{folder}: config.json names no sampling_rate")
    return model.eval(), int(rate)


def save(model: ConvTasNet, rate: int, folder: Path) -> None:
    """Write a model that hears `rate` Hz as a folder that `load` opens."""
    size = {field.name: getattr(model.size, field.name) for field in fields(Size)}
    config = {"architectures": ["ConvTasNet"], "model_type": "conv_tasnet", "sampling_rate": rate}
    (folder / "config.json").write_text(json.dumps({**config, **size, **FIXED}, indent=2))
    save_file(model.state_dict(), folder / "model.safetensors")


def _size(config: dict[str, Any]) -> Size:
    size = Size(**{f.name: config[f.name] for f in fields(Size) if f.name in config})
    named = {size.mask_act, size.encoder_activation or "linear"}
    if not named <= ACTIVATIONS.keys():
        raise StageFailed(f"activations are {', '.join(ACTIVATIONS)}; config.json names {named}")
    return size
