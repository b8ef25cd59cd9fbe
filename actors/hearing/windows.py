"""Cutting a recording into windows that a model can hear: at pauses, or with an overlap."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.sound import Samples

FRAME = 0.01
"""Seconds over which loudness is taken: shorter than any sound of speech."""

PAUSE = 0.3
"""Seconds that a cut has around it, which are as quiet as can be: a breath between phrases."""

SILENCE = 1e-8
"""Mean square of full scale (-80 dB) of the loudest PAUSE: the noise of 16-bit recordings of
nothing lies at -96 dB, a whisper into a poor microphone at -60."""

QUIET = 1e-4
"""Part of the loudest PAUSE (-40 dB) below which a window's ends are taken for background: on a
telephone call speech was at -22 to -45 dB of full scale, the line alone at -71."""

Loudness = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a recording, in samples. `left` and `right` are what it shares with its
    neighbours for their sake: heard, but not written down."""

    start: int
    end: int
    left: int = 0
    right: int = 0


def spans_at_pauses(loud: Loudness, hop: int, length: int, size: int, search: int) -> list[Span]:
    """Cut `length` samples into spans of `size` at most, that together are the whole.

    Each cut lies in the quietest place of the last `search` samples that it may lie in: where
    speech pauses, no word is cut, so that the spans can be heard apart.
    """
    spans: list[Span] = []
    start = 0
    while length - start > size:
        end = quietest(loud, hop, start + size - search, start + size)
        spans.append(Span(start, end))
        start = end
    return [*spans, Span(start, length)]


def spans_with_overlap(length: int, size: int, overlap: int) -> list[Span]:
    """Cut `length` samples into spans of `size` that share 2 x `overlap` with the next; each
    keeps all but `overlap` at the sides where it has a neighbour."""
    if length <= size:
        return [Span(0, length)]
    step = size - 2 * overlap
    starts = range(0, length - 2 * overlap, step)
    return [
        Span(s, min(s + size, length), overlap if s else 0, 0 if s == starts[-1] else overlap)
        for s in starts
    ]


def background(loud: Loudness) -> float:
    """Return the loudness of what is taken for silence beside the loudest moment."""
    return max(float(loud.max(initial=0.0)) * QUIET, SILENCE)


def without_silence(loud: Loudness, hop: int, span: Span, floor: float) -> Span | None:
    """Return the span without what is no louder than `floor` at its ends, or None for nothing.

    `loud` is the recording's loudness by frames of `hop` samples.
    """
    first = span.start // hop
    heard = first + np.flatnonzero(loud[first : -(-span.end // hop)] > floor)
    if not len(heard):
        return None
    start, end = int(heard[0]) * hop, (int(heard[-1]) + 1) * hop
    return Span(max(start, span.start), min(end, span.end))


def quietest(loud: Loudness, hop: int, first: int, last: int) -> int:
    """Return the quietest of the samples from `first` to before `last`, both within the sound."""
    frames = slice(-(-first // hop), max(-(-first // hop) + 1, last // hop))
    return (frames.start + int(np.argmin(loud[frames]))) * hop


def loudness(samples: Samples, rate: int) -> Loudness:
    """Return the mean square of the PAUSE seconds around each frame's beginning: (frames,)."""
    hop = hop_of(rate)
    whole = len(samples) // hop
    rest = samples[whole * hop :]
    # No copy of the samples is made: those of four hours take 0.9 GB.
    frames = samples[: whole * hop].reshape(whole, hop)
    sums = np.einsum("ij,ij->i", frames, frames).astype(np.float64)
    sums = np.append(sums, np.square(rest).sum()) if len(rest) else sums
    width = round(PAUSE / FRAME)
    around = np.convolve(sums, np.ones(width))[width // 2 :][: len(sums)] if len(sums) else sums
    return np.asarray(around / (width * hop))


def hop_of(rate: int) -> int:
    """Return the samples of a frame."""
    return max(1, round(FRAME * rate))
