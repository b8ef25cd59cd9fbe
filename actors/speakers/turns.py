"""Turns: who speaks from when to when."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actors.speakers.spans import Span

TURN = pa.struct([("start", pa.float32()), ("end", pa.float32()), ("speaker", pa.string())])


@dataclass(frozen=True, slots=True)
class Turn:
    """One stretch of one speaker, numbered from 0; seconds from the recording's start."""

    start: float
    end: float
    speaker: int


def window_starts(span: Span, window: float, hop: float) -> list[float]:
    """Return where the windows of a span begin, seconds: every `hop`, the last at its end.

    A span shorter than a window has one, around its middle (from 0 at the earliest).
    """
    start, end = span
    if end - start <= window:
        return [max(0.0, (start + end - window) / 2)]
    starts = list(np.arange(start, end - window, hop))
    return [*map(float, starts), end - window]


def borders_of(span: Span, starts: Sequence[float], window: float) -> list[float]:
    """Return the borders of what each window of a span stands for: half-way between middles."""
    middles = [start + window / 2 for start in starts]
    return [span[0], *((a + b) / 2 for a, b in pairwise(middles)), span[1]]


def turns_in(borders: Sequence[float], likeness: NDArray[np.float32]) -> list[Turn]:
    """Cut a span of speech into turns at some of the borders of its windows.

    `likeness` is the cosine of each window with each speaker, (windows, speakers).
    """
    speakers = smoothed(likeness).argmax(axis=1)
    turns: list[Turn] = []
    for (start, end), speaker in zip(pairwise(borders), speakers, strict=True):
        if turns and turns[-1].speaker == speaker:
            turns[-1] = Turn(turns[-1].start, end, int(speaker))
        else:
            turns.append(Turn(start, end, int(speaker)))
    return turns


def smoothed(likeness: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each row's mean with its two neighbours: a voice rarely changes for one window."""
    padded = np.pad(likeness, ((1, 1), (0, 0)), mode="edge")
    return np.asarray((padded[:-2] + padded[1:-1] + padded[2:]) / 3, np.float32)


def joined(turns: Sequence[Turn], gap: float) -> list[Turn]:
    """Join neighbouring turns of one speaker with no more than `gap` seconds between them."""
    found: list[Turn] = []
    for turn in turns:
        last = found[-1] if found else None
        if last and last.speaker == turn.speaker and turn.start - last.end <= gap:
            found[-1] = Turn(last.start, turn.end, turn.speaker)
        else:
            found.append(turn)
    return found


def named(turns: Sequence[Turn]) -> tuple[list[dict[str, float | str]], int]:
    """Return turns as a column holds them, and how many speakers there are.

    Speakers are SPEAKER_1, SPEAKER_2... in the order in which they are first heard.
    """
    order = sorted(turns, key=lambda turn: (turn.start, turn.speaker))
    names: dict[int, str] = {}
    for turn in order:
        names.setdefault(turn.speaker, f"SPEAKER_{len(names) + 1}")
    return [
        {"start": turn.start, "end": turn.end, "speaker": names[turn.speaker]} for turn in order
    ], len(names)
