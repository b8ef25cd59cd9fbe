"""Resemblyzer: an LSTM over mel frames, trained so that windows of one voice lie close (GE2E).

A window is 160 frames of 10 ms. It comes with 200 samples on both sides, so that its frames are
those of the whole recording, cut out; all windows are then of one size.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from actors.architecture import config_in
from actors.errors import RowRejected, StageFailed
from actors.sound import Samples
from actors.speakers.voiceprint import SMALLEST, Vector, mean_of
from actors.stage import Batching, Device, Item

WEIGHTS = "model.safetensors"

RATE = 16_000
"""Hz."""

SPAN, HOP = 400, 160
"""Samples under a frame, 25 ms, and between frames, 10 ms."""

FRAMES = 160
"""Frames of a window: 1.6 s."""

STEP = 77
"""Frames between windows: 1.3 windows a second, as the package has it."""

COVERED = 0.75
"""Part of the last window that must hold sound for it to count."""

LOUDNESS = -30.0
"""dB below full scale (mean power) to which quieter recordings are raised."""

SIZES = {"mels": 40, "width": 256, "layers": 3, "size": 256}
"""Of the published weights; config.json states them, so that tests can have smaller ones."""


class VoiceEncoder(nn.Module):
    """The network. Names of its parts are those of the published weights."""

    def __init__(self, mels: int, width: int, layers: int, size: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(mels, width, layers, batch_first=True)
        self.linear = nn.Linear(width, size)

    def forward(self, mels: Tensor) -> Tensor:
        """Return voices of length 1, (windows, size), for mel frames (windows, FRAMES, mels)."""
        _, (hidden, _) = self.lstm(mels)
        voices: Tensor = self.linear(hidden[-1]).relu()
        unit: Tensor = voices / voices.norm(dim=1, keepdim=True).clamp_min(SMALLEST)
        return unit


class Mel:
    """Power in mel bands, not its logarithm: (windows, samples) -> (windows, frames, mels)."""

    def __init__(self, mels: int, device: str) -> None:
        bank = mel_filter_bank(SPAN // 2 + 1, mels, 0.0, RATE / 2, RATE, "slaney", "slaney")
        self.bank = torch.from_numpy(bank).float().to(device)
        self.hann = torch.hann_window(SPAN, device=device)

    def __call__(self, samples: Tensor) -> Tensor:
        """Return the power of each frame in each band."""
        frames = samples.unfold(1, SPAN, HOP) * self.hann
        power: Tensor = torch.fft.rfft(frames).abs() ** 2
        return power @ self.bank


class Resemblyzer:
    """A loaded encoder: a Voiceprint."""

    rate = RATE
    # benchmarks/quality_speakers.py: at 0.75, 15 % of one speaker's stretches of 2.5 s are taken
    # for two speakers', 1 % of two for one; of 5 s, none and 3 %.
    threshold = 0.75
    # Two stretches of one voice had cosines of 0.67 and more, of two voices 0.77 and less.
    alike = 0.7

    def __init__(self, folder: Path, device: Device) -> None:
        torch.set_num_threads(device.threads)
        self.device = device
        config = config_in(folder)
        self.mel = Mel(config["mels"], device.name)
        # Always in full precision: it is small, and an LSTM adds up what is rounded.
        self.network = _load(folder, config).to(device.name).eval()
        self.batching = Batching("fixed", rows=32 if device.name == "cpu" else 512)

    def items(self, samples: Samples) -> list[Item]:
        """Return the windows of a recording. Raises RowRejected (silence)."""
        if not samples.any():
            raise RowRejected("silence", "there is nothing to hear: all samples are 0")
        return self.windows(samples, window_starts(len(samples)))

    def windows(self, samples: Samples, starts: Sequence[int]) -> list[Item]:
        """Return windows that begin at these samples, with what their frames hear around them,
        of the recording raised to a usual loudness."""
        margin = SPAN // 2
        length = (FRAMES - 1) * HOP + SPAN
        after = max(0, max(starts, default=0) + length - margin - len(samples))
        padded = np.pad(raised(samples), (margin, after))
        return [Item(padded[start : start + length], shape=length) for start in starts]

    def infer(self, items: Sequence[Item]) -> list[Vector]:
        """Return the voice in each window."""
        samples = torch.from_numpy(np.stack([item.data for item in items])).to(self.device.name)
        with torch.inference_mode():
            return list(self.network(self.mel(samples)).cpu().numpy())

    def join(self, vectors: Sequence[Vector]) -> Vector:
        """Return the voice in the middle of a recording's windows."""
        return mean_of(vectors)


def window_starts(samples: int) -> list[int]:
    """Return where the windows of a recording begin, one at least."""
    frames = -(-(samples + 1) // HOP)
    starts = [n * HOP for n in range(0, max(1, frames - FRAMES + STEP + 1), STEP)]
    covered = (samples - starts[-1]) / (FRAMES * HOP)
    return starts[:-1] if covered < COVERED and len(starts) > 1 else starts


def raised(samples: Samples) -> Samples:
    """Return a recording at LOUDNESS, if it was quieter."""
    loudness = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    wanted = 10 ** (LOUDNESS / 20)
    if loudness == 0.0 or loudness >= wanted:
        return samples
    return np.asarray(samples * (wanted / loudness), np.float32)


def build(sizes: dict[str, int]) -> VoiceEncoder:
    """Return a network of the sizes that a config.json states."""
    return VoiceEncoder(**{name: sizes[name] for name in SIZES})


def _load(folder: Path, config: dict[str, int]) -> VoiceEncoder:
    """Return the network in a folder. Raises StageFailed when its weights do not fit."""
    network = build(config)
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except RuntimeError as error:
        raise StageFailed(f"{folder}: the weights do not fit the network: {error}") from None
    return network
