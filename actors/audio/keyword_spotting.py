"""keyword-spotting: which words of a small set are said in a recording, and when."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from actors.architecture import config_in
from actors.audio_stage import AudioStage
from actors.listening.families import classifies_sound, why_no_classifier
from actors.listening.windows import windows_of
from actors.scores import sigmoid, softmax, usual_activation
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option

if TYPE_CHECKING:
    from actors.listening.listener import Listener
    from actors.listening.wake_words import WakeWordListener

KEYWORDS = pa.list_(
    pa.struct(
        [
            ("keyword", pa.string()),
            ("score", pa.float32()),
            ("start", pa.float32()),
            ("end", pa.float32()),
        ]
    )
)
"""What was said, in the order of time; seconds."""

Scored = tuple[float, float, np.ndarray]
"""A stretch of a recording: start, end (seconds) and the score of each label (float32)."""

Hit = tuple[float, float, float]
"""A stretch with a keyword: start, end (seconds), score."""


class KeywordSpotting(AudioStage):
    """Finds the words of a small set (commands, wake words) that are said in a recording.

    A classifier hears windows of `window_seconds`, `hop_seconds` apart, the last one ending with
    the recording; a shorter recording is heard as it is. `keywords` has every hit that reaches
    `threshold`: neighbouring windows with the same word are one hit, from the start of the first
    to the end of the last (seconds), with the best score. `label` and `score` (0..1) are the best
    hit, null where there is none. The embedded wake words have windows of their own: a score every
    80 ms for what was said in the two seconds before, so `end` is close to the word's end and
    `start` up to two seconds early; they are licensed for non-commercial use, so they are taken
    only when the file names them.
    """

    models: ClassVar[Defaults] = Defaults(
        hub="superb/wav2vec2-base-superb-ks", licence="Apache-2.0"
    )

    threshold: float = option(0.5, "Least score of a hit.", ge=0, le=1)
    ignore: list[str] = option(
        ["_silence_", "_unknown_", "_background_noise_"], "Labels that are no keywords."
    )
    window_seconds: float = option(
        1.0, "Seconds that a classifier hears at once, at most what it takes.", ge=0.1, le=30
    )
    hop_seconds: float = option(
        0.5, "Seconds between the starts of a classifier's windows.", ge=0.02, le=30
    )

    @model_validator(mode="after")
    def _nothing_is_skipped(self) -> "KeywordSpotting":
        if self.hop_seconds > self.window_seconds:
            raise ValueError(
                f"hop_seconds {self.hop_seconds:g} is more than window_seconds"
                f" {self.window_seconds:g}: what lies between two windows would not be heard"
            )
        return self

    @property
    def writes(self) -> Columns:
        """The best keyword, its score, and every hit."""
        return {"label": pa.string(), "score": pa.float32(), "keywords": KEYWORDS}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept classifiers of sounds, and wake words."""
        if classifies_sound(config) or _is_wake_words(config):
            return None
        return why_no_classifier("keyword-spotting", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the classifier, or the wake words."""
        if _is_wake_words(config_in(files.folder)):
            from actors.listening.wake_words import WakeWordListener

            return WakeWordSpotter(self, WakeWordListener(files.folder, device))
        from transformers import AutoModelForAudioClassification

        from actors.listening.listener import Listener

        listener = Listener(AutoModelForAudioClassification, files.folder, device)
        return CommandSpotter(self, listener)

    def answer(self, labels: Sequence[str], scored: Sequence[Scored], near: float) -> Row:
        """Return the columns of one recording: stretches whose ends are at most `near` seconds
        apart are neighbours."""
        hits = sorted(self._hits(labels, scored, near), key=lambda h: (h["start"], h["keyword"]))
        best = max(hits, key=lambda hit: hit["score"], default={"keyword": None, "score": None})
        return {"label": best["keyword"], "score": best["score"], "keywords": hits}

    def _hits(self, labels: Sequence[str], scored: Sequence[Scored], near: float) -> Iterator[Row]:
        """Yield the hits of every keyword: a run of stretches with it, joined."""
        for number, label in enumerate(labels):
            if label in self.ignore:
                continue
            found = [(start, end, float(scores[number])) for start, end, scores in scored]
            for run in _runs([one for one in found if one[2] >= self.threshold], near):
                best = max(score for _, _, score in run)
                yield {"keyword": label, "score": best, "start": run[0][0], "end": run[-1][1]}


def _is_wake_words(config: Mapping[str, Any]) -> bool:
    return config.get("model_type") == "wake-words"


def _runs(stretches: Sequence[Hit], near: float) -> Iterator[list[Hit]]:
    """Yield the stretches, which are in order, together as far as they are neighbours."""
    run: list[Hit] = []
    for one in stretches:
        # A microsecond: places are samples divided by the rate, and rounded.
        if run and one[1] - run[-1][1] > near + 1e-6:
            yield run
            run = []
        run.append(one)
    if run:
        yield run


class CommandSpotter(Model):
    """A loaded classifier of commands."""

    def __init__(self, stage: KeywordSpotting, listener: "Listener") -> None:
        self.stage = stage
        self.listener = listener
        self.batching = listener.batching
        self.many = usual_activation(listener.config) == "sigmoid"
        length = round(stage.window_seconds * listener.rate)
        self.length = min(length, listener.longest or length)
        self.hop = min(self.length, round(stage.hop_seconds * listener.rate))

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per window."""
        recordings = [self.stage.samples(row, self.listener.rate) for row in rows]
        return [
            [window.item() for window in windows_of(self.listener, one, self.length, self.hop)]
            for one in recordings
        ]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: a Scored."""
        logits = self.listener.logits([item.data.heard for item in items])
        scores = sigmoid(logits) if self.many else softmax(logits)
        windows = [item.data for item in items]
        return [(w.start, w.end, row) for w, row in zip(windows, scores, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Join the windows of each word."""
        near = self.length / self.listener.rate
        return self.stage.answer(self.listener.labels, outputs, near)


class WakeWordSpotter(Model):
    """Loaded wake words."""

    def __init__(self, stage: KeywordSpotting, listener: "WakeWordListener") -> None:
        self.stage = stage
        self.listener = listener
        self.batching = listener.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per 30 s."""
        recordings = [self.stage.samples(row, self.listener.rate) for row in rows]
        return [[part.item() for part in self.listener.stretches(one)] for one in recordings]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: a list of Scored."""
        found = zip(items, self.listener.scores(items), strict=True)
        return [
            [(*item.data.place(step), row) for step, row in enumerate(scores)]
            for item, scores in found
        ]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Join the steps of each word."""
        from actors.listening.wake_words import NEAR

        scored = [one for part in outputs for one in part]
        return self.stage.answer(self.listener.labels, scored, NEAR)
