"""What tasks share that name what a recording is: windows, a classifier, their mean."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from actors.audio_stage import AudioStage
from actors.listening.windows import windows_of
from actors.scores import BEST, ScoredStage, Scorer, usual_activation
from actors.stage import Columns, Device, Item, Model, ModelFiles, Row, option

if TYPE_CHECKING:
    from actors.listening.listener import Listener

WINDOWS = pa.list_(
    pa.struct(
        [
            ("start", pa.float32()),
            ("end", pa.float32()),
            ("label", pa.string()),
            ("score", pa.float32()),
        ]
    )
)
"""Stretches of a recording, in seconds, each with its best label."""

LONGEST = 60.0
"""Seconds heard at once by a model that takes any length: attention grows with their square, and
60 s (3,000 frames) is four times what such models saw in training."""


class SoundStage(AudioStage):
    """Base of tasks that name what a recording is, window by window."""

    window_seconds: float | None = option(
        None,
        "Hear longer recordings in windows of so many seconds and take the mean of their scores."
        " Default and upper limit: what the model hears at once (AST 10.24, CLAP 10, Whisper 30,"
        f" models of raw samples {LONGEST:.0f}).",
        ge=0.1,
        le=LONGEST,
    )

    @property
    def writes(self) -> Columns:
        """The best label, its score, the best few, and the best of each window."""
        return {**BEST, "windows": WINDOWS}


class SoundClassificationStage(ScoredStage, SoundStage):
    """Base of tasks that answer with the labels of a classifier of sounds."""

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the classifier."""
        from transformers import AutoModelForAudioClassification

        from actors.listening.listener import Listener

        listener = Listener(AutoModelForAudioClassification, files.folder, device)
        labels = [self.call(label) for label in listener.labels]
        scorer = Scorer.of(self, labels, usual_activation(listener.config))
        return SoundClassifier(self, listener, scorer)

    def call(self, label: str) -> str:
        """Return how the task calls a label of the model: as the model does."""
        return label


class SoundClassifier(Model):
    """A loaded classifier of sounds."""

    def __init__(self, stage: SoundStage, listener: "Listener", scorer: Scorer) -> None:
        self.stage = stage
        self.listener = listener
        self.scorer = scorer
        self.batching = listener.batching
        self.length = self._length(stage.window_seconds or LONGEST)

    def _length(self, seconds: float) -> int:
        """Return the samples of a window: never more than the model hears."""
        length = round(seconds * self.listener.rate)
        return min(length, self.listener.longest or length)

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per window."""
        recordings = [self.stage.samples(row, self.listener.rate) for row in rows]
        return [
            [window.item() for window in windows_of(self.listener, one, self.length, self.length)]
            for one in recordings
        ]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: where the window lies (seconds), and its scores (float32, one per label)."""
        scores = self.scorer.scores(self.listener.logits([item.data.heard for item in items]))
        windows = [item.data for item in items]
        return [(w.start, w.end, row) for w, row in zip(windows, scores, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Name the best labels of the windows' mean, and the best one of each."""
        mean = np.mean([scores for _, _, scores in outputs], axis=0)
        return {**self.scorer.best(mean), "windows": [self._named(*one) for one in outputs]}

    def _named(self, start: float, end: float, scores: np.ndarray) -> Row:
        best = int(scores.argmax())
        label = self.scorer.labels[best]
        return {"start": start, "end": end, "label": label, "score": float(scores[best])}
