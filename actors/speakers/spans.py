"""From the chance of speech, frame by frame, to the spans in which somebody speaks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from actors.speakers.detector import Chances

Span = tuple[float, float]
"""Start and end in seconds from the recording's start."""

SPAN = pa.struct([("start", pa.float32()), ("end", pa.float32())])

CALMER = 0.15
"""How far below the threshold speech that has begun may fall: what Silero's authors use."""

LEAST = 0.01
"""Where even a low threshold lets speech end."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as speech. All but the threshold (0..1) are seconds.

    min_speech   shorter speech is left out.
    min_silence  shorter silence does not end speech.
    padding      added on both sides of speech; neighbours meet in the middle at most.
    max_span     longer speech is cut where it is least likely; None: never.
    """

    threshold: float = 0.5
    min_speech: float = 0.25
    min_silence: float = 0.1
    padding: float = 0.03
    max_span: float | None = None


def speech_spans(chances: Chances, hop: float, seconds: float, rules: Rules) -> list[Span]:
    """Return the spans of speech in a recording of `seconds`, in order and apart.

    `chances` are (frames,), one every `hop` seconds.
    """
    spans = [(start * hop, min(end * hop, seconds)) for start, end in _runs(chances, rules)]
    spans = [s for s in _joined(spans, rules.min_silence) if s[1] - s[0] >= rules.min_speech]
    if rules.max_span is not None:
        longest = max(1, round((rules.max_span - 2 * rules.padding) / hop))
        spans = [part for span in spans for part in _parts(span, chances, hop, longest)]
    return _padded(spans, rules.padding, seconds)


def _runs(chances: Chances, rules: Rules) -> Iterator[tuple[int, int]]:
    """Yield runs of frames that begin at the threshold and end well below it."""
    ends = np.flatnonzero(chances < max(rules.threshold - CALMER, LEAST))
    place = 0
    for begin in np.flatnonzero(chances >= rules.threshold):
        if begin >= place:
            after = np.searchsorted(ends, begin)
            place = int(ends[after]) if after < len(ends) else len(chances)
            yield int(begin), place


def _joined(spans: Sequence[Span], min_silence: float) -> list[Span]:
    """Join spans with less silence between them."""
    joined: list[Span] = []
    for start, end in spans:
        if joined and start - joined[-1][1] < min_silence:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _parts(span: Span, chances: Chances, hop: float, longest: int) -> Iterator[Span]:
    """Cut a span of more than `longest` frames at the least likely frame of each second half."""
    start, end = span
    first, last = round(start / hop), round(end / hop)
    while last - first > longest:
        half = first + max(1, longest // 2)
        cut = half + int(np.argmin(chances[half : first + longest + 1]))
        yield start, cut * hop
        start, first = cut * hop, cut
    yield start, end


def _padded(spans: Sequence[Span], padding: float, seconds: float) -> list[Span]:
    """Widen spans on both sides, as far as to the middle of a gap."""
    padded = []
    for number, (start, end) in enumerate(spans):
        before = spans[number - 1][1] if number else -start
        after = spans[number + 1][0] if number + 1 < len(spans) else 2 * seconds - end
        left, right = min(padding, (start - before) / 2), min(padding, (after - end) / 2)
        padded.append((start - left, end + right))
    return padded
