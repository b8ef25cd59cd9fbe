"""What Whisper hears in windows of recordings: it writes, doubts, and listens again.

A model of this kind may stop too early, skip what is said quietly between two loud speakers, go
round in circles, or imagine words where nobody speaks. Each is noticed and mended here, window by
window, so that no window depends on another's answer.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from torch import Tensor

from actors.hearing.transcript import UNSPACED, Spoken
from actors.hearing.whisper import NO_SPEECH, NO_SPEECH_CHANCE, Timing, Whisper
from actors.hearing.windows import Loudness, Span, hop_of, loudness, quietest, without_silence
from actors.hearing.writing import words
from actors.sound import Samples

CIRCLES = 2.4
"""OpenAI's bound: a text that zlib shrinks more than that says the same again and again."""

GAP = 3.0
"""Seconds of sound in which no word was heard, beyond which it is heard again by itself."""

SPEECH = 10**-2.5
"""Part of a window's loudest moment (-25 dB) from which on sound between words may be speech: two
speakers in one recording were 15 dB apart, a room's noise and its speaker 32."""

SHORTEST = 1.0
"""Seconds of sound in such a gap that are worth it."""

AGAIN = 2
"""How often what was missed is heard again, and what was missed in that."""


@dataclass(slots=True)
class Recording:
    """What the windows of one recording share: the features of the first, which tell the
    language, and the language once it is known."""

    first: np.ndarray
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A window on its way to the model: samples, their log-mel features (mels, frames) float32,
    and where it begins in the recording, in seconds."""

    samples: Samples
    features: np.ndarray
    start: float
    recording: Recording

    @property
    def nbytes(self) -> int:
        """Bytes of memory, for the worker's bound on what waits."""
        return int(self.features.nbytes + self.samples.nbytes)


class Hearer:
    """Whisper with second thoughts. `rows` windows at most are heard at once."""

    def __init__(self, whisper: Whisper, rows: int) -> None:
        self.whisper = whisper
        self.rows = rows
        # A translation is not said in the order of the sound: it has no words with times.
        self.timed = whisper.tells_time and whisper.wishes.task == "transcribe"

    def window(self, samples: Samples, start: float, recording: Recording | None) -> Window:
        """Return a window; the first one of a recording makes the recording."""
        features = self.whisper.features(samples)
        known = self.whisper.wishes.language or (None if self.whisper.codes else "en")
        return Window(samples, features, start, recording or Recording(features, known))

    def hear(self, windows: Sequence[Window], again: int = AGAIN) -> list[list[Spoken]]:
        """Return what is said in each window: words, or one piece if there are no times."""
        encoded = self.whisper.encode([window.features for window in windows])
        begun = self.whisper.begin(encoded)
        self._tell_languages(windows, begun)
        languages = [window.recording.language for window in windows]
        written = self.whisper.write(encoded, languages)
        self._mend(encoded, languages, written)
        doubted = [again < AGAIN] * len(windows)
        if again == AGAIN:
            doubted = [chance > NO_SPEECH for chance in self.whisper.no_speech(begun)]
        self._drop_imagined(encoded, languages, written, doubted)
        if not self.timed:
            return [self._untimed(*pair) for pair in zip(windows, written, strict=True)]
        lengths = [self._seconds(window) for window in windows]
        timings = self.whisper.times(encoded, languages, written, lengths)
        found = [self._words(*t) for t in zip(windows, written, timings, strict=True)]
        self._hear_missed(windows, timings, found, again)
        return found

    def _tell_languages(self, windows: Sequence[Window], begun: Tensor) -> None:
        """Note the language of recordings where it is not known yet, by their first windows."""
        for window, chances in zip(windows, self.whisper.detect(begun), strict=True):
            recording = window.recording
            if recording.language is None and window.features is recording.first:
                recording.language = max(chances, key=lambda code: chances[code])
        for recording in [window.recording for window in windows]:
            if recording.language is None:  # its first window is put off: memory ran out
                begun = self.whisper.begin(self.whisper.encode([recording.first]))
                (chances,) = self.whisper.detect(begun)
                recording.language = max(chances, key=lambda code: chances[code])

    def _mend(
        self, encoded: Tensor, languages: Sequence[str | None], written: list[list[int]]
    ) -> None:
        """Write again where the text goes round in circles."""
        bad = [n for n, ids in enumerate(written) if _in_circles(self._text(ids))]
        if bad:
            better = self.whisper.write(encoded[bad], [languages[n] for n in bad], again=True)
            for number, ids in zip(bad, better, strict=True):
                written[number] = ids

    def _drop_imagined(
        self,
        encoded: Tensor,
        languages: Sequence[str | None],
        written: list[list[int]],
        doubted: Sequence[bool],
    ) -> None:
        """Empty those of the doubted windows whose words the model does not believe itself."""
        bad = [n for n, doubt in enumerate(doubted) if doubt and written[n]]
        if not bad:
            return
        texts = [written[n] for n in bad]
        chances = self.whisper.chances(encoded[bad], [languages[n] for n in bad], texts)
        for number, chance in zip(bad, chances, strict=True):
            if chance < NO_SPEECH_CHANCE:
                written[number] = []

    def _hear_missed(
        self,
        windows: Sequence[Window],
        timings: Sequence[Timing],
        found: list[list[Spoken]],
        again: int,
    ) -> None:
        """Hear again, apart, the sound in which no word was found, and put its words in place."""
        if not again:
            return
        missed = [
            (number, part)
            for number, (window, timing) in enumerate(zip(windows, timings, strict=True))
            for part in self._missed(window, timing)
        ]
        for first in range(0, len(missed), self.rows):
            group = missed[first : first + self.rows]
            parts = self.hear([part for _, part in group], again - 1)
            for (number, _), part in zip(group, parts, strict=True):
                found[number] = sorted([*found[number], *part], key=lambda word: word.start)

    def _missed(self, window: Window, timing: Timing) -> list[Window]:
        """Return the stretches between words that are long and loud enough for more of them."""
        ends = [0.0, *timing.peaks, self._seconds(window)]
        gaps = [(a, b) for a, b in pairwise(ends) if b - a > GAP]
        if not timing.peaks or not gaps:
            return []
        rate = self.whisper.rate
        loud, hop = loudness(window.samples, rate), hop_of(rate)
        floor = float(loud.max()) * SPEECH
        spans = [self._between(loud, hop, *gap, len(window.samples)) for gap in gaps]
        kept = [without_silence(loud, hop, span, floor) for span in spans]
        return [
            self.window(
                window.samples[span.start : span.end],
                window.start + span.start / rate,
                window.recording,
            )
            for span in kept
            if span and span.end - span.start > SHORTEST * rate
        ]

    def _between(self, loud: Loudness, hop: int, first: float, last: float, length: int) -> Span:
        """Return the stretch between two words that were heard at these seconds: it begins and
        ends where it is quietest within the second beside each."""
        begin, end = round(first * self.whisper.rate), round(last * self.whisper.rate)
        reach = self.whisper.rate
        start = quietest(loud, hop, begin, begin + reach) if first else 0
        return Span(start, quietest(loud, hop, end - reach, end) if end < length else length)

    def _words(self, window: Window, ids: list[int], timing: Timing) -> list[Spoken]:
        language = window.recording.language
        found = words(self.whisper.tokenizer, ids, timing.starts, language)
        return [
            Spoken(self._spaced(word.text, language, n), *self._at(window, word.start, word.end))
            for n, word in enumerate(found)
        ]

    def _untimed(self, window: Window, ids: list[int]) -> list[Spoken]:
        """The whole text, at the time of its window."""
        text = self._text(ids)
        if not text.strip():
            return []
        place = self._at(window, 0.0, self._seconds(window))
        return [Spoken(self._spaced(text, window.recording.language, 0), *place)]

    def _spaced(self, text: str, language: str | None, number: int) -> str:
        """A window's first word has its space: another window may stand before it."""
        if number or language in UNSPACED or text.startswith(" "):
            return text
        return f" {text}"

    def _at(self, window: Window, start: float, end: float) -> tuple[float, float]:
        return window.start + start, window.start + end

    def _seconds(self, window: Window) -> float:
        return len(window.samples) / self.whisper.rate

    def _text(self, ids: Sequence[int]) -> str:
        text: str = self.whisper.tokenizer.decode(ids, skip_special_tokens=True)
        return text


def _in_circles(text: str) -> bool:
    raw = text.encode()
    return len(raw) > CIRCLES * len(zlib.compress(raw))
