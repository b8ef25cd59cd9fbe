"""Models that tell frame by frame who of a few speakers is active (...ForAudioFrameClassification).

A recording longer than WINDOW is heard in windows that overlap. In which column a model puts a
speaker is chance, and may differ from window to window: the columns of each window are put in the
order in which they are most like those of the window before, where both overlap.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from actors.errors import StageFailed
from actors.listening.listener import Listener
from actors.scores import sigmoid, softmax
from actors.sound import Samples
from actors.speakers.detector import Chances
from actors.stage import Device, Item

Activity = NDArray[np.float32]
"""How likely each speaker is active: float32, (frames, speakers)."""

WINDOW, OVERLAP = 30.0, 10.0
"""Seconds heard at once, about the longest of what such models are trained on, and shared by
neighbours: enough for a turn of both of two speakers."""


class FrameDetector:
    """A loaded frame classifier: a Detector, and the activity of each speaker.

    `label` names the label that means speech, if the model tells speech from other sounds
    (probabilities over all labels); None: every label is a speaker, each for itself.
    """

    def __init__(self, folder: Path, device: Device, label: str | None = None) -> None:
        from transformers import AutoModelForAudioFrameClassification

        self.listener = Listener(AutoModelForAudioFrameClassification, folder, device)
        self.rate = self.listener.rate
        self.batching = self.listener.batching
        self.frame = _frame(self.listener.config)
        self.hop = self.frame / self.rate
        self.column = None if label is None else _column(self.listener.config, label)
        # Whole frames, so that the frames of neighbours fall on each other.
        self.window = int(WINDOW / self.hop) * self.frame
        self.step = int((WINDOW - OVERLAP) / self.hop) * self.frame

    def items(self, samples: Samples) -> list[Item]:
        """Return the windows of a recording: all of one size, or one that is the whole.

        Raises RowRejected (audio_too_short).
        """
        extra = max(0, len(samples) - self.window)
        starts = [n * self.step for n in range(-(-extra // self.step) + 1)]
        return [self.listener.features(samples[at : at + self.window]) for at in starts]

    def infer(self, items: Sequence[Item]) -> list[Activity]:
        """Return each window's activity, (frames, speakers), without the padding's frames."""
        logits = self.listener.forward(items).logits.float().cpu().numpy()
        lengths = [self.frames(len(item.data)) for item in items]
        return [self._scores(row[:n]) for row, n in zip(logits, lengths, strict=True)]

    def frames(self, samples: int) -> int:
        """Return how many frames the model makes of so many samples."""
        return int(self.listener.model._get_feat_extract_output_lengths(samples))

    def activity(self, outputs: Sequence[Activity]) -> Activity:
        """Join the windows of a recording."""
        joined = outputs[0]
        for number, window in enumerate(outputs[1:], 1):
            joined = _append(joined, window, number * self.step // self.frame)
        return joined

    def chances(self, outputs: Sequence[Activity]) -> Chances:
        """Return the chance that the likeliest speaker is active."""
        found: Chances = self.activity(outputs).max(axis=1)
        return found

    def _scores(self, logits: NDArray[np.float32]) -> Activity:
        if self.column is None:
            return sigmoid(logits)
        return softmax(logits)[:, [self.column]]


def _append(joined: Activity, window: Activity, place: int) -> Activity:
    """Add a window that begins at frame `place`; the overlap's later half is the window's."""
    shared = min(len(joined) - place, len(window))
    order = _order(joined[place : place + shared], window[:shared])
    middle = shared // 2
    return np.concatenate([joined[: place + middle], window[middle:, order]])


def _order(before: Activity, after: Activity) -> NDArray[np.int64]:
    """Return the order of `after`'s columns that lies nearest to `before`."""
    far = np.abs(before[:, :, None] - after[:, None, :]).sum(axis=0)
    order: NDArray[np.int64] = linear_sum_assignment(far)[1]
    return order


def _frame(config: Any) -> int:
    """Return the samples from one frame to the next."""
    return int(np.prod(config.conv_stride))


def _column(config: Any, label: str) -> int:
    """Return the place of a label. Raises StageFailed that lists the labels."""
    places = {name: int(number) for number, name in config.id2label.items()}
    if label not in places:
        raise StageFailed(f"the model has no label '{label}'; its labels: {', '.join(places)}")
    return places[label]
