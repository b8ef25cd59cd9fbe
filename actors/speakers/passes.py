"""The passes that tasks on voices are made of: hear where speech is, then turn it into vectors.

A row may have several recordings; each item carries which of them it belongs to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.errors import RowRejected
from actors.sound import Samples
from actors.speakers.detector import Chances, Detector
from actors.speakers.spans import Rules, Span, speech_spans
from actors.speakers.voiceprint import Vector, Voiceprint
from actors.stage import Batching, Item, Model, Pass, Row

Recordings = Callable[[Row], Sequence[Samples]]
"""Gives a row's recordings. Raises RowRejected."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a model is given of one of a row's recordings: its number, and all of its samples."""

    number: int
    samples: Samples
    data: NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        """Bytes of memory, for the worker's bound on what waits."""
        return int(self.data.nbytes)


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording, and how likely speech is at any time of it."""

    samples: Samples
    chances: Chances
    rate: int
    hop: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate

    def spans(self, rules: Rules) -> list[Span]:
        """Return where somebody speaks."""
        return speech_spans(self.chances, self.hop, self.seconds, rules)

    def speech(self, rules: Rules) -> Samples:
        """Return the speech alone, run together. Raises RowRejected (no_speech)."""
        spans = self.spans(rules)
        if not spans:
            raise RowRejected(
                "no_speech", f"nobody speaks in {self.seconds:.1f} s (as sure as {rules.threshold})"
            )
        return np.concatenate([self.samples[self._place(a) : self._place(b)] for a, b in spans])

    def _place(self, seconds: float) -> int:
        return round(seconds * self.rate)


def parts_of(
    recordings: Sequence[Samples], items: Callable[[Samples], Sequence[Item]]
) -> list[Item]:
    """Return the items of all recordings, each carrying its Part."""
    return [
        replace(item, data=Part(number, samples, item.data))
        for number, samples in enumerate(recordings)
        for item in items(samples)
    ]


def infer_parts(
    items: Sequence[Item], infer: Callable[[Sequence[Item]], list[Any]]
) -> list[tuple[Part, Any]]:
    """Return what the model answers to each item, with the Part that it answers."""
    answers = infer([replace(item, data=item.data.data) for item in items])
    return [(item.data, answer) for item, answer in zip(items, answers, strict=True)]


def by_recording(outputs: Sequence[tuple[Part, Any]]) -> list[tuple[Samples, list[Any]]]:
    """Group answers by recording, in order: its samples, and the answers to its parts."""
    groups = groupby(outputs, key=lambda output: output[0].number)
    found = [list(group) for _, group in groups]
    return [(group[0][0].samples, [answer for _, answer in group]) for group in found]


class Hearing(Pass):
    """Hears where speech is. The next row: {"heard": one Heard per recording}."""

    def __init__(self, detector: Detector, recordings: Recordings) -> None:
        self.detector, self.recordings = detector, recordings

    @property
    def batching(self) -> Batching:  # type: ignore[override]
        """The detector's."""
        return self.detector.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """Cut each recording into what the detector takes at once."""
        return [parts_of(self.recordings(row), self.detector.items) for row in rows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: its Part and the detector's answer."""
        return infer_parts(items, self.detector.infer)

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Join the answers to each recording."""
        rate, hop = self.detector.rate, self.detector.hop
        return {
            "heard": [
                Heard(samples, self.detector.chances(answers), rate, hop)
                for samples, answers in by_recording(outputs)
            ]
        }


class Voices(Model):
    """Turns each of a row's recordings into a vector, and those into the row's answer."""

    def __init__(
        self, voiceprint: Voiceprint, recordings: Recordings, answer: Callable[[list[Vector]], Row]
    ) -> None:
        self.voiceprint, self.recordings, self.answer = voiceprint, recordings, answer
        self.batching = voiceprint.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """Cut each recording into what the model takes at once."""
        return [parts_of(self.recordings(row), self.voiceprint.items) for row in rows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: its Part and its vector."""
        return infer_parts(items, self.voiceprint.infer)

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Join the vectors of each recording, and answer."""
        return self.answer([self.voiceprint.join(found) for _, found in by_recording(outputs)])


class Passes(Model):
    """Passes one after another."""

    def __init__(self, *passes: Pass) -> None:
        self._passes = passes

    @property
    def passes(self) -> Sequence[Pass]:
        """The passes in order."""
        return self._passes


def answer_alone(model: Model, row: Row) -> Row:
    """Take one row through all passes, an item at a time. Raises RowRejected."""
    for step in model.passes:
        (items,) = step.prepare([row])
        row = step.finish(row, [output for item in items for output in step.infer([item])])
    return row
