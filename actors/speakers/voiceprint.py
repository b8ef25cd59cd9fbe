"""What turns a voice into a vector, whatever the model."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from actors.sound import Samples
from actors.stage import Batching, Item

Vector = NDArray[np.float32]
"""A voice: float32, (size,), of length 1, so that a product is a cosine."""

WINDOW = 1.6
"""Seconds of a voice that are compared when turns are sought: what Resemblyzer was trained on, and
usual elsewhere; shorter ones tell voices apart badly, longer ones mix them."""

SMALLEST = 1e-12
"""Keeps the vector of a voice that the model answers with zeros from being no number."""


class Voiceprint(Protocol):
    """A loaded model of voices.

    rate       of the samples it hears, Hz.
    threshold  cosine from which two voices are taken for one, unless the task is told another.
    """

    rate: int
    threshold: float
    batching: Batching

    def items(self, samples: Samples) -> list[Item]:
        """Return what the model is given of a whole recording. Raises RowRejected."""

    def infer(self, items: Sequence[Item]) -> list[Vector]:
        """Return the vector of each item."""

    def join(self, vectors: Sequence[Vector]) -> Vector:
        """Return what a recording's items say together."""


class WindowVoiceprint(Voiceprint, Protocol):
    """One that also compares short stretches of a recording.

    alike  mean cosine down to which windows of 1.6 s are gathered as one voice.
    """

    alike: float

    def windows(self, samples: Samples, starts: Sequence[int]) -> list[Item]:
        """Return what it is given of stretches of WINDOW seconds that begin at these samples."""


def unit(vector: NDArray[np.float32]) -> Vector:
    """Return a vector, or the rows of a matrix, at length 1."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.asarray(vector / np.maximum(length, SMALLEST), np.float32)


def mean_of(vectors: Sequence[Vector]) -> Vector:
    """Return the voice in the middle of several."""
    return unit(np.mean(np.stack(vectors), axis=0))
