"""A Conv-TasNet small enough to train in seconds, on sounds made by formula.

It tells a buzz (a voice's harmonics, coming and going) from noise that comes and goes. Nobody
needs such a model: that it learns, and separates what it has not heard, shows that the code works.
"""

import torch
from torch import Tensor

from actors.voices.conv_tasnet import ConvTasNet, Size

RATE = 8_000
"""Hz."""

SIZE = Size(
    n_filters=48, kernel_size=16, stride=8, bn_chan=24, hid_chan=48, skip_chan=24,
    n_blocks=4, n_repeats=1, mask_act="sigmoid",
)  # fmt: skip


def sounds(count: int, seconds: float, seed: int) -> Tensor:
    """Return pairs of a buzz and of noise, both of mean square 1: (count, 2, samples)."""
    chance = torch.Generator().manual_seed(seed)
    times = torch.arange(round(seconds * RATE)) / RATE
    pitch = torch.rand(count, 1, generator=chance) * 120 + 90
    harmonics = torch.arange(1, 9)[:, None, None] * pitch
    tones = torch.sin(2 * torch.pi * harmonics * times) / torch.arange(1, 9)[:, None, None]
    buzz = tones.sum(0) * _loudness(count, times, chance)
    noise = torch.randn(count, len(times), generator=chance) * _loudness(count, times, chance)
    pairs = torch.stack([buzz, noise], dim=1)
    return pairs / pairs.square().mean(-1, keepdim=True).sqrt()


def _loudness(count: int, times: Tensor, chance: torch.Generator) -> Tensor:
    pace, phase = torch.rand(2, count, 1, generator=chance)
    return 0.6 + 0.4 * torch.sin(2 * torch.pi * ((1 + 4 * pace) * times + phase))


def si_sdr(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the ratio of what is right to what is not in a source, whatever its loudness: dB."""
    scale = (found * wanted).sum(-1, keepdim=True) / wanted.square().sum(-1, keepdim=True)
    right = scale * wanted
    wrong = (found - right).square().sum(-1) + 1e-9
    return 10 * torch.log10(right.square().sum(-1) / wrong + 1e-9)


def trained(steps: int = 120, seed: int = 0) -> ConvTasNet:
    """Return a separator after so many steps of 8 mixtures of half a second."""
    torch.manual_seed(seed)
    model = ConvTasNet(SIZE)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(steps):
        pairs = sounds(8, 0.5, seed=1_000 + step)
        loss = -si_sdr(model(pairs.sum(1)), pairs).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    return model.eval()


def improvement(model: ConvTasNet, seconds: float = 1.0, seed: int = 7) -> float:
    """Return how many dB of SI-SDR the sources of 16 unheard mixtures gain, in the mean."""
    pairs = sounds(16, seconds, seed)
    mixtures = pairs.sum(1)
    with torch.inference_mode():
        after = si_sdr(model(mixtures), pairs)
    return float((after - si_sdr(mixtures[:, None].expand_as(pairs), pairs)).mean())
