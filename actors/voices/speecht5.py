"""SpeechT5: an encoder of text or of speech, a decoder of mel frames, and a vocoder apart.

Its decoder drops half of what its prenet hears, also at inference, and one mask is drawn for the
whole batch: with a seed that belongs to the task, a step's mask does not depend on who else is in
the batch. Items of another length would change how long the search may go on, so only items of
one length meet. The vocoder hears each sentence alone: it would hear padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import SpeechT5HifiGan

from actors.checkpoint import load_model
from actors.noise import drawn_from
from actors.sound import Samples
from actors.stage import Batching, Device, Item
from actors.voices.speaker import Vector


@dataclass(frozen=True, slots=True)
class Heard:
    """What the encoder is given: ids or samples, (length,), and whose voice is to say it."""

    values: np.ndarray
    speaker: Vector

    @property
    def nbytes(self) -> int:
        """Bytes of memory, for the worker's bound on what waits."""
        return int(self.values.nbytes + self.speaker.nbytes)

    def item(self) -> Item:
        """Return the item for the batcher."""
        return Item(self, cost=len(self.values), shape=len(self.values))


class SpeechT5:
    """A SpeechT5 that speaks, with its vocoder. `rate` is that of what it says, in Hz.

    longest     mel frames said for each of the encoder's states, at most.
    """

    # The decoder goes step by step and keeps what all steps attended to: 30 s of a row take about
    # 45 MB (940 steps, 6 layers, keys and values of 768).
    batching = Batching("shape", rows=8, budget=1 << 30)

    def __init__(
        self, kind: Any, folders: tuple[Path, Path], device: Device, seed: int, longest: float
    ) -> None:
        exact = replace(device, precision="fp32")  # waveforms need more than bf16's 8 bits
        self.model = load_model(kind, folders[0], exact)
        self.vocoder = load_model(SpeechT5HifiGan, folders[1], exact)
        self.device, self.seed, self.longest = device, seed, longest
        self.rate = int(self.vocoder.config.sampling_rate)
        self.speaker_size = int(self.model.config.speaker_embedding_dim)

    def say(self, items: Sequence[Item]) -> list[Samples]:
        """Return what is said for each item; all items are of one length."""
        values = self._tensor([item.data.values for item in items])
        speakers = self._tensor([item.data.speaker for item in items])
        with torch.inference_mode(), drawn_from(self.seed, self.device):
            frames, lengths = self.model.generate_speech(
                values,
                speaker_embeddings=speakers,
                attention_mask=torch.ones_like(values, dtype=torch.long),
                maxlenratio=self.longest,
                return_output_lengths=True,
            )
            return [
                self.vocoder(heard[:length]).cpu().numpy()
                for heard, length in zip(frames, lengths, strict=True)
            ]

    def _tensor(self, arrays: list[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays)).to(self.device.name)
