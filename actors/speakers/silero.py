"""Silero's network: how likely each 32 ms of a recording at 16 kHz hold speech.

The samples of a window and of a little sound before it go through a Fourier transform written as
a convolution and four more convolutions: no window sees another, so all windows of a batch are
taken together, without padding. Then an LSTM hears them in order; it looks only back, so what
pads a shorter recording on the right cannot change its answers.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from actors.architecture import config_in
from actors.errors import StageFailed
from actors.sound import Samples
from actors.speakers.detector import Chances
from actors.stage import Batching, Device, Item

WEIGHTS = "model.safetensors"

RATE = 16_000
"""Hz. The network is trained for it; its windows below are in samples."""

WINDOW = 512
CONTEXT = 64
STRIDE = 128
"""Samples of a window, of the sound heard before it, and between Fourier frames."""

WINDOWS_AT_ONCE = 4_096
"""Windows that are in the convolutions together, two minutes of sound: their largest array is
then 17 MB, whatever the recordings' length."""

SIZES = {"frequencies": 129, "channels": [128, 64, 64, 128]}
"""Of the published weights; config.json states them, so that tests can have smaller ones."""


class Silero(nn.Module):
    """The network. Names of its parts are those of the published safetensors file."""

    def __init__(self, frequencies: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.frequencies, width = frequencies, channels[-1]
        sizes = [frequencies, *channels]
        self.stft_conv = nn.Conv1d(1, 2 * frequencies, 2 * STRIDE, stride=STRIDE, bias=False)
        self.conv1 = nn.Conv1d(sizes[0], sizes[1], 3, padding=1)
        self.conv2 = nn.Conv1d(sizes[1], sizes[2], 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(sizes[2], sizes[3], 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(sizes[3], sizes[4], 3, padding=1)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.final_conv = nn.Conv1d(width, 1, 1)

    def features(self, windows: Tensor) -> Tensor:
        """Return (windows, width) for (windows, CONTEXT + WINDOW) samples."""
        padded = nn.functional.pad(windows, (0, STRIDE // 2), mode="reflect")
        real, imaginary = self.stft_conv(padded[:, None]).split(self.frequencies, dim=1)
        heard = (real**2 + imaginary**2).sqrt()
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            heard = layer(heard).relu()
        return torch.select(heard, 2, 0)

    def forward(self, features: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Return speech probabilities (recordings, windows), and the state to go on with.

        `features` are (recordings, windows, width).
        """
        hidden, state = self.lstm(features, state)
        return self.final_conv(hidden.relu().transpose(1, 2)).sigmoid()[:, 0], state


class SileroDetector:
    """A loaded network that answers whole recordings: a Detector."""

    rate = RATE
    hop = WINDOW / RATE

    def __init__(self, folder: Path, device: Device) -> None:
        torch.set_num_threads(device.threads)
        self.device = device
        # Always in full precision: it is small, and an LSTM adds up what is rounded.
        self.network = _load(folder).to(device.name).eval()
        # One recording's memory does not grow with the batch; more rows make the LSTM's matrices
        # larger, up to where they leave a CPU's cache.
        self.batching = Batching("length", rows=32, budget=64 * WINDOWS_AT_ONCE)

    def items(self, samples: Samples) -> list[Item]:
        """One item: the whole recording, which is heard in order. Its cost is in windows."""
        return [Item(samples, cost=-(-len(samples) // WINDOW))]

    def infer(self, items: Sequence[Item]) -> list[Chances]:
        """Per recording: the probability of speech in each window, float32 (windows,)."""
        counts = [item.cost for item in items]
        found = np.zeros((len(items), max(counts)), np.float32)
        step = max(1, WINDOWS_AT_ONCE // len(items))
        state = None
        with torch.inference_mode():
            for start in range(0, max(counts), step):
                features = self._features(items, start, min(step, max(counts) - start))
                speech, state = self.network(features, state)
                found[:, start : start + step] = speech.cpu().numpy()
        return [row[:count] for row, count in zip(found, counts, strict=True)]

    def chances(self, outputs: Sequence[Chances]) -> Chances:
        """Return the answer to a recording's only item."""
        (only,) = outputs
        return only

    def _features(self, items: Sequence[Item], start: int, step: int) -> Tensor:
        """Return what the LSTM hears of windows `start` to `start + step` of each recording:
        (recordings, step, width), zeros after a recording's end."""
        cut = [windows_of(item.data, start, step) for item in items]
        lengths = np.array([len(windows) for windows in cut])
        windows = torch.from_numpy(np.concatenate(cut)).to(self.device.name)
        heard = self.network.features(windows)
        padded = heard.new_zeros(len(items), step, heard.shape[1])
        mask = torch.from_numpy(np.arange(step) < lengths[:, None]).to(self.device.name)
        padded[mask] = heard
        return padded


def windows_of(samples: Samples, start: int, count: int) -> NDArray[np.float32]:
    """Return windows `start` to `start + count`, as many as there are: (windows, CONTEXT + WINDOW).

    Zeros stand before the recording's first sample and after its last.
    """
    total = -(-len(samples) // WINDOW)
    found = max(0, min(count, total - start))
    begin, end = start * WINDOW - CONTEXT, (start + found) * WINDOW
    part = samples[max(0, begin) : end]
    before = CONTEXT if start == 0 else 0
    after = max(0, end - len(samples)) if found else 0
    if not found:
        return np.zeros((0, CONTEXT + WINDOW), np.float32)
    padded = np.pad(part, (before, after))
    return np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + WINDOW)[::WINDOW]


def build(sizes: dict[str, Any]) -> Silero:
    """Return a network of the sizes that a config.json states."""
    return Silero(**{name: sizes[name] for name in SIZES})


def _load(folder: Path) -> Silero:
    """Return the network in a folder. Raises StageFailed when its weights do not fit."""
    network = build(config_in(folder))
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except RuntimeError as error:
        raise StageFailed(f"{folder}: the weights do not fit the network: {error}") from None
    return network
