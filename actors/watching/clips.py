"""Clips: the equal stretches of a video that a model sees one by one."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.stage import Item


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of a video: its place in seconds, and its frames as a model is shown them.

    Each frame is uint8, (3, height, width); clips that overlap share frames.
    """

    start: float
    end: float
    frames: tuple[NDArray[np.uint8], ...]

    @property
    def nbytes(self) -> int:
        """Bytes of memory, for the worker's bound on what waits."""
        return sum(frame.nbytes for frame in self.frames)

    def item(self) -> Item:
        """Return the item for the batcher; only clips of one shape meet."""
        return Item(self, cost=self.nbytes, shape=self.frames[0].shape)


def stretches(seconds: float, length: float, most: int) -> list[tuple[float, float]]:
    """Return the start and end of the clips of a video, in seconds.

    As many clips of `length` as cover the video, at most `most`: evenly spread, the first at its
    beginning and the last at its end; a single one in its middle. A video that is no longer than a
    clip is one clip.
    """
    if seconds <= length:
        return [(0.0, seconds)]
    count = min(most, math.ceil(seconds / length))
    spare = seconds - length
    starts = np.linspace(0, spare, count) if count > 1 else np.array([spare / 2])
    return [(start, start + length) for start in starts.tolist()]


def moments(start: float, end: float, count: int) -> list[float]:
    """Return the middles of `count` equal parts of a stretch, in seconds."""
    step = (end - start) / count
    return [start + step * (number + 0.5) for number in range(count)]
