"""What finds speech in a recording, whatever the model."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from actors.sound import Samples
from actors.stage import Batching, Item

Chances = NDArray[np.float32]
"""Probabilities of speech, one per `hop` seconds from a recording's start: float32, (frames,)."""


class Detector(Protocol):
    """A loaded model that finds speech; `rate` in Hz, `hop` in seconds."""

    rate: int
    hop: float
    batching: Batching

    def items(self, samples: Samples) -> list[Item]:
        """Return what the model is given of a recording. Raises RowRejected."""

    def infer(self, items: Sequence[Item]) -> list[NDArray[np.float32]]:
        """Return the model's answer to each item."""

    def chances(self, outputs: Sequence[NDArray[np.float32]]) -> Chances:
        """Join the answers to a recording's items."""
