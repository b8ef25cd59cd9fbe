"""SpeechT5 that says again, in another voice, what it hears."""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoFeatureExtractor, SpeechT5ForSpeechToSpeech

from actors.errors import RowRejected
from actors.sound import Samples
from actors.stage import Device, Item
from actors.voices.speaker import Vector
from actors.voices.speecht5 import Heard, SpeechT5


class SpeechT5Converter:
    """A SpeechT5 with its feature extractor. `rate` is what it hears, in Hz.

    stretch     how many times as long as what is heard an answer may be.
    """

    def __init__(
        self, folders: tuple[Path, Path], device: Device, seed: int, stretch: float
    ) -> None:
        self.extractor = AutoFeatureExtractor.from_pretrained(folders[0], local_files_only=True)
        self.rate = int(self.extractor.sampling_rate)
        self.model = SpeechT5(SpeechT5ForSpeechToSpeech, folders, device, seed, 1.0)
        config, vocoder = self.model.model.config, self.model.vocoder.config
        state = prod(config.conv_stride) / self.rate  # seconds of one of the encoder's states
        frame = prod(vocoder.upsample_rates) / self.model.rate
        self.model.longest = stretch * state / frame
        self.shortest = shortest(config)

    def item(self, samples: Samples, speaker: Vector) -> Item:
        """Return a stretch of speech as an item. Raises RowRejected (audio_too_short)."""
        if len(samples) < self.shortest:
            raise RowRejected(
                "audio_too_short",
                f"{len(samples)} samples at {self.rate} Hz; the model needs {self.shortest}",
            )
        made = self.extractor(samples, sampling_rate=self.rate, return_tensors="np")
        return Heard(np.asarray(made.input_values[0], np.float32), speaker).item()


def shortest(config: Any) -> int:
    """Return the samples that the encoder's first state takes."""
    length, hop = 1, 1
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        length, hop = length + (kernel - 1) * hop, hop * stride
    return length
