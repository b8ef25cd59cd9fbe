"""Models that name the speaker among those they were trained on (...ForSequenceClassification)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from actors.listening.listener import Listener
from actors.scores import labels_of, softmax
from actors.sound import Samples
from actors.speakers.voiceprint import Vector
from actors.speakers.xvector import LONGEST
from actors.stage import Device, Item


class SpeakerClassifier:
    """A loaded classifier of speakers: a Voiceprint whose vectors are probabilities."""

    threshold = 0.0

    def __init__(self, folder: Path, device: Device) -> None:
        from transformers import AutoModelForAudioClassification

        self.listener = Listener(AutoModelForAudioClassification, folder, device)
        self.rate = self.listener.rate
        self.batching = self.listener.batching
        self.labels = labels_of(self.listener.config)

    def items(self, samples: Samples) -> list[Item]:
        """Return the equal windows of a recording. Raises RowRejected (audio_too_short)."""
        count = max(1, -(-len(samples) // int(LONGEST * self.rate)))
        length = len(samples) // count
        cuts = range(0, count * length, length)
        return [self.listener.features(samples[cut : cut + length]) for cut in cuts]

    def infer(self, items: Sequence[Item]) -> list[Vector]:
        """Return the probabilities of all speakers in each item."""
        return list(softmax(self.listener.forward(items).logits.float().cpu().numpy()))

    def join(self, vectors: Sequence[Vector]) -> Vector:
        """Return the mean over a recording's windows."""
        mean: Vector = np.mean(np.stack(vectors), axis=0)
        return mean
