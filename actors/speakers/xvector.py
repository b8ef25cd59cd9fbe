"""Models of transformers that turn a voice into a vector (...ForXVector)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from actors.errors import RowRejected
from actors.listening.listener import Listener
from actors.sound import Samples
from actors.speakers.voiceprint import WINDOW, Vector, mean_of, unit
from actors.stage import Device, Item

LONGEST = 30.0
"""Seconds heard at once; a longer recording is heard in equal windows, and their mean counts."""


class XVector:
    """A loaded x-vector model: a Voiceprint."""

    # The cosine on the card of WavLM's speaker model; models differ, so tasks let users choose.
    threshold = 0.86
    alike = 0.75

    def __init__(self, folder: Path, device: Device) -> None:
        from transformers import AutoModelForAudioXVector

        self.listener = Listener(AutoModelForAudioXVector, folder, device)
        self.rate = self.listener.rate
        self.least = _least(self.listener)
        # The mean over a recording's frames is changed by padding, even under the mask.
        self.batching = replace(self.listener.batching, rule="shape")

    def items(self, samples: Samples) -> list[Item]:
        """Return the equal windows of a recording. Raises RowRejected (audio_too_short)."""
        if len(samples) < self.least:
            raise RowRejected(
                "audio_too_short",
                f"{len(samples) / self.rate:.2f} s of voice; the model needs"
                f" {self.least / self.rate:.2f} s",
            )
        count = -(-len(samples) // int(LONGEST * self.rate))
        length = len(samples) // count
        return [
            self.listener.features(samples[n * length : (n + 1) * length]) for n in range(count)
        ]

    def windows(self, samples: Samples, starts: Sequence[int]) -> list[Item]:
        """Return stretches of WINDOW seconds; what lies beyond the end is silence."""
        length = int(WINDOW * self.rate)
        padded = np.pad(samples, (0, max(0, max(starts, default=0) + length - len(samples))))
        return [self.listener.features(padded[start : start + length]) for start in starts]

    def infer(self, items: Sequence[Item]) -> list[Vector]:
        """Return the voice in each item."""
        return list(unit(self.listener.forward(items).embeddings.float().cpu().numpy()))

    def join(self, vectors: Sequence[Vector]) -> Vector:
        """Return the voice in the middle of a recording's windows."""
        return mean_of(vectors)


def _least(listener: Any) -> int:
    """Return the samples of two frames after the last convolution over time: the spread of fewer
    is no number."""
    config = listener.config
    taken = sum(
        (kernel - 1) * dilation
        for kernel, dilation in zip(config.tdnn_kernel, config.tdnn_dilation, strict=True)
    )
    return int(listener.shortest + (taken + 1) * np.prod(config.conv_stride))
