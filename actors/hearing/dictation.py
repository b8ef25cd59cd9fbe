"""Whisper at work on recordings: windows in, a transcript out."""

from collections.abc import Sequence
from typing import Any

from actors.audio_stage import AudioStage
from actors.hearing.hearer import Hearer, Window
from actors.hearing.transcript import columns, sentences, text_of
from actors.hearing.windows import (
    Loudness,
    Span,
    background,
    hop_of,
    loudness,
    spans_at_pauses,
    without_silence,
)
from actors.sound import Samples
from actors.stage import Batching, Item, Model, Row

SEARCH = 1 / 6
"""Part of a window, its last, in which a pause is looked for: 5 of 30 seconds."""


class Dictation(Model):
    """A loaded Whisper model that writes down recordings of any length."""

    def __init__(self, stage: AudioStage, hearer: Hearer) -> None:
        self._stage, self._hearer = stage, hearer
        self._whisper = hearer.whisper
        self.batching = Batching("fixed", rows=hearer.rows, budget=hearer.rows)

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per window of each recording in which there is anything to hear."""
        return [self._items(self._stage.samples(row, self._whisper.rate)) for row in rows]

    def _items(self, samples: Samples) -> list[Item]:
        rate = self._whisper.rate
        loud, hop = loudness(samples, rate), hop_of(rate)
        windows: list[Window] = []
        for span in self._spans(loud, hop, len(samples)):
            recording = windows[0].recording if windows else None
            part, start = samples[span.start : span.end], span.start / rate
            windows.append(self._hearer.window(part, start, recording))
        return [Item(window) for window in windows]

    def _spans(self, loud: Loudness, hop: int, length: int) -> list[Span]:
        """Windows without the silence at their ends. A window begins where there is something to
        hear, so that it holds as much as it can."""
        size = round(self._whisper.seconds * self._whisper.rate)
        spans = spans_at_pauses(loud, hop, length, size, round(size * SEARCH))
        kept = [
            without_silence(loud, hop, span, background(loud[span.start // hop : span.end // hop]))
            for span in spans
        ]
        return [span for span in kept if span]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per window: what is said in it, and the language."""
        windows: list[Window] = [item.data for item in items]
        heard = self._hearer.hear(windows)
        return [(w.recording.language, said) for w, said in zip(windows, heard, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Join a recording's windows."""
        pieces = [piece for _, said in outputs for piece in said]
        language = outputs[0][0] if pieces else None
        segments = sentences(pieces) if self._hearer.timed else pieces
        wanted = self._whisper.wishes.timestamps
        return columns(
            text_of(pieces),
            language,
            None if wanted == "none" else segments,
            pieces if wanted == "word" else None,
        )
