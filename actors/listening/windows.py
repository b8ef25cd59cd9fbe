"""Windows: the equal stretches of a long recording that a model hears one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.sound import Samples
from actors.stage import Item

if TYPE_CHECKING:
    from actors.listening.listener import Listener


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a recording: its place in seconds, and what the model is given of it."""

    start: float
    end: float
    heard: Item

    @property
    def nbytes(self) -> int:
        """Bytes of memory, for the worker's bound on what waits."""
        return int(self.heard.data.nbytes)

    def item(self) -> Item:
        """Return the item for the batcher."""
        return Item(self, self.heard.cost, self.heard.shape)


def spans(samples: int, length: int, hop: int) -> list[tuple[int, int]]:
    """Return stretches of `length` samples, `hop` apart, that together cover a recording.

    The last one ends with the recording, so that all are equally long and none needs padding. A
    recording of no more than one stretch is a single, shorter one.
    """
    if samples <= length:
        return [(0, samples)]
    starts = [*range(0, samples - length, hop), samples - length]
    return [(start, start + length) for start in starts]


def windows_of(listener: "Listener", samples: Samples, length: int, hop: int) -> Iterator[Window]:
    """Yield the windows of a recording with what the listener is given of each.

    `length` and `hop` are in samples. Raises RowRejected (audio_too_short).
    """
    for start, end in spans(len(samples), length, hop):
        heard = listener.features(samples[start:end])
        yield Window(start / listener.rate, end / listener.rate, heard)
