"""From the bytes of a video file to upright RGB pictures at given times, under caps.

Every video task decodes here, so that one bad file has the same reason code everywhere:

null_input        the row has no video
wrong_type        it is not bytes
empty_file        no bytes
truncated_video   the file ends before its container says
unreadable_video  an unknown or refused format, or no decoder for what is in it
no_video          only sound, or a cover picture
no_frames         a stream of pictures without a single one
video_too_long    more seconds than the cap, or more frames than anybody films: nothing was decoded
video_too_large   more pixels in a frame than the cap: nothing was decoded
damaged_video     a frame that is needed cannot be decoded, or not whole

A video is turned upright as its file says, and pixels that are not square are made so; mirroring is
not undone. What a header says of length and frame rate is not believed: packets are counted, at 2
microseconds each, and only the groups of frames that hold a wanted one are decoded.
"""

import importlib.util
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actors.errors import RowRejected, StageFailed
from actors.files import file_of
from actors.watching.containers import missing_bytes

if TYPE_CHECKING:
    from actors.watching.decoding import Entry

Pixels = NDArray[np.uint8]
"""One upright frame: uint8, (height, width, 3), RGB."""

MAX_SECONDS = 14_400.0
"""Default cap on a video's length: four hours."""

MAX_PIXELS = 40_000_000
"""Default cap on a frame: 8K (7680 x 4320) has 33 million pixels; as RGB the cap is 120 MB."""

MISSING = (
    "videos are decoded by PyAV, which is not installed here; add it with\n"
    "  pip install 'gristmill[video]'"
)
"""What to do where PyAV is missing. It is an extra, because it brings 100 MB of FFmpeg (LGPL-3.0)
with x264 and x265 (GPL-2.0)."""

SAME_TIME = 1e-6
"""Seconds by which a time may be rounded and still mean the frame that begins then."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is decoded at most: seconds of a video, pixels of a frame."""

    seconds: float = MAX_SECONDS
    pixels: int = MAX_PIXELS


@dataclass(frozen=True, slots=True)
class Header:
    """What was found in a file: seconds, the upright size in pixels, frames, frames per second on
    average (None for a video of no length), and FFmpeg's name of the codec."""

    seconds: float
    width: int
    height: int
    frames: int
    frame_rate: float | None
    codec: str


def is_installed() -> bool:
    """Say whether videos can be decoded here."""
    return importlib.util.find_spec("av") is not None


def inspect(data: bytes | None, limits: Limits = Limits()) -> Header:
    """Count the frames and decode the first. Raises RowRejected with the reasons above."""
    film = Film(data, limits)
    ((_, first),) = film.frames([0])
    height, width, _ = first.shape
    rate = len(film.times) / film.seconds if film.seconds > 0 else None
    return Header(film.seconds, width, height, len(film.times), rate, film.codec)


class Film:
    """A video whose frames are known and not decoded yet.

    seconds   its length: from the first frame to the end of the last.
    times     when each frame is shown, in seconds from the first: float64, (frames,), ascending.
    codec     FFmpeg's name of its codec.
    Raises RowRejected with the reasons above, StageFailed where PyAV is missing.
    """

    def __init__(self, data: bytes | None, limits: Limits = Limits()) -> None:
        self._data, self._limits = _checked(data), limits
        self._decoding = _decoding()
        with self._decoding.opened(self._data, limits.pixels) as (container, stream):
            self.codec = str(stream.codec_context.codec.canonical_name)
            self._squashed = float(stream.sample_aspect_ratio or 1)
            unit, rate = float(stream.time_base), float(stream.average_rate or 0)
            found = self._decoding.entries(container, stream)
        self._keys = self._decoding.Keys(found)
        shown = [one for one in found if one.is_shown and one.stamp >= self._keys.first]
        if not shown:
            raise RowRejected("no_frames", "the video has a header and no frame")
        self._stamps: list[int] = np.unique([one.stamp for one in shown]).tolist()
        self.times = (np.array(self._stamps) - self._stamps[0]) * unit
        self.seconds = float(self.times[-1]) + self._last_duration(shown, unit, rate)
        _check_length(self.seconds, limits.seconds)

    def _last_duration(self, shown: list["Entry"], unit: float, rate: float) -> float:
        """Return the seconds of the last frame: its own, or the usual ones."""
        stated = max(one.duration for one in shown if one.stamp == self._stamps[-1])
        if stated:
            return stated * unit
        if len(self.times) > 1:
            return float(np.median(np.diff(self.times)))
        return 1 / rate if rate else 0.0

    def at(self, times: Sequence[float]) -> list[int]:
        """Return the number of the frame that is shown at each time, in seconds."""
        last = len(self.times) - 1
        found = np.searchsorted(self.times, np.asarray(times) + SAME_TIME, side="right") - 1
        return [min(max(int(number), 0), last) for number in found]

    def frames(
        self, numbers: Collection[int], max_side: int | None = None
    ) -> Iterator[tuple[int, Pixels]]:
        """Yield frames by number, each once, in ascending order.

        `max_side` scales larger ones down as they are decoded, to that many pixels on the longest
        side. Raises RowRejected (damaged_video).
        """
        wanted = sorted(set(numbers))
        stamps = [self._stamps[number] for number in wanted]
        with self._decoding.opened(self._data, self._limits.pixels) as (container, stream):
            frames = self._decoding.decoded(container, stream, self._keys, stamps)
            for number, frame in zip(wanted, frames, strict=True):
                yield number, self._decoding.upright(frame, self._squashed, max_side)


def _decoding() -> Any:
    """Return the module that needs PyAV. Raises StageFailed where that is missing."""
    if not is_installed():
        raise StageFailed(MISSING)
    from actors.watching import decoding

    return decoding


def _checked(data: bytes | None) -> bytes:
    data = file_of(data, "video")
    missing = missing_bytes(data)
    if missing:
        raise RowRejected(
            "truncated_video", f"the file ends {missing} bytes before its container says"
        )
    return data


def _check_length(seconds: float, most: float) -> None:
    if seconds > most:
        raise RowRejected(
            "video_too_long", f"{seconds:.1f} s are more than the {most:.1f} allowed (max_seconds)"
        )
