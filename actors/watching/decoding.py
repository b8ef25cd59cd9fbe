"""Packets and frames of one file, by PyAV. Only `actors/film.py` imports this, where it is needed.

Everything here works in the stream's own unit of time: a `stamp` is when a frame is shown.
"""

import io
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from actors.errors import RowRejected

FORMATS = {
    "mp4": "mov,mp4,m4a,3gp,3g2,mj2",
    "mkv and webm": "matroska,webm",
    "avi": "avi",
    "mpeg-ts": "mpegts",
    "mpeg": "mpeg",
    "flv": "flv",
    "wmv": "asf",
    "ogv": "ogg",
    "gif": "gif",
}
"""What is read -> FFmpeg's names for it. Playlists (hls, dash, concat) are not: they name further
files, which FFmpeg would open. Raw streams are not: they know no times."""

MAX_FRAMES = 4_000_000
"""Frames of the longest video: four hours at 240 a second are 3.5 million."""

SKIPPING = frozenset(["h264", "hevc", "mpeg4", "mpeg2video"])
"""Decoders that leave single frames out when told on the way. dav1d, for one, is told once."""

SQUASHED = 4
"""Sides of a pixel may differ by this factor; what says more is not believed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of a packet. One that is not shown only helps to decode others."""

    stamp: int
    duration: int
    is_key: bool
    is_shown: bool


@contextmanager
def opened(data: bytes, max_pixels: int) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file at its stream of pictures, to be decoded in the calling thread.

    Raises RowRejected (unreadable_video, no_video, video_too_large).
    """
    options = {
        "format_whitelist": ",".join(FORMATS.values()),
        "protocol_whitelist": "none",
        "max_pixels": str(max_pixels),
    }
    try:
        container = av.open(io.BytesIO(data), "r", options=options, metadata_errors="ignore")
    except FFmpegError as error:
        text = f"cannot be opened as any of {', '.join(FORMATS)}: {_said(error)}"
        raise RowRejected("unreadable_video", text) from error
    with container:
        stream = _pictures(container)
        _check_size(stream, max_pixels)
        stream.codec_context.thread_count = 1
        # A size that grows on the way is refused by the decoder.
        stream.codec_context.options = {"max_pixels": str(max_pixels)}
        yield container, stream


def _pictures(container: InputContainer) -> VideoStream:
    """Return the first stream of pictures that is not a cover of sound."""
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        if stream.codec_context is None:
            raise RowRejected("unreadable_video", "there is no decoder for its codec")
        return stream
    raise RowRejected("no_video", "the file has no stream of pictures")


def _check_size(stream: VideoStream, max_pixels: int) -> None:
    if stream.width * stream.height > max_pixels:
        raise RowRejected(
            "video_too_large",
            f"{stream.width} x {stream.height} pixels are more than the {max_pixels} allowed"
            " (max_pixels)",
        )


def entries(container: InputContainer, stream: VideoStream) -> list[Entry]:
    """Return what is kept of each packet, in the order of decoding; nothing is decoded."""
    return [
        Entry(_stamp(packet), packet.duration or 0, packet.is_keyframe, not packet.is_discard)
        for packet in _packets(container, stream)
    ]


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Any]:
    """Yield the packets that have a time. Raises RowRejected (damaged_video, video_too_long)."""
    count = 0
    try:
        for packet in container.demux(stream):
            if packet.size and (packet.pts is not None or packet.dts is not None):
                count += 1
                if count > MAX_FRAMES:
                    raise RowRejected("video_too_long", f"more than {MAX_FRAMES} frames")
                yield packet
    except FFmpegError as error:
        raise RowRejected("damaged_video", f"cannot be read to its end: {_said(error)}") from error


def _stamp(packet: Any) -> int:
    return int(packet.dts if packet.pts is None else packet.pts)


class Keys:
    """The packets with which decoding may begin."""

    def __init__(self, found: Sequence[Entry]) -> None:
        keys = [(entry.stamp, number) for number, entry in enumerate(found) if entry.is_key]
        # A stream that calls no frame a key is decoded from its beginning.
        self._keys = sorted(keys or [(entry.stamp, n) for n, entry in enumerate(found[:1])])

    @property
    def first(self) -> int:
        """The stamp before which nothing can be decoded."""
        return self._keys[0][0] if self._keys else 0

    def before(self, stamp: int) -> int:
        """Return the number of the packet with which decoding a frame must begin."""
        place = bisect_right(self._keys, stamp, key=lambda key: key[0])
        return self._keys[max(place, 1) - 1][1]


def decoded(
    container: InputContainer, stream: VideoStream, keys: Keys, stamps: Sequence[int]
) -> Iterator[VideoFrame]:
    """Yield the frame that is shown at each stamp, ascending; groups without any are passed over.

    Raises RowRejected (damaged_video).
    """
    context, wanted, running = stream.codec_context, Wanted(stamps), False
    skipping = context.name in SKIPPING
    for number, packet in enumerate(chain(_packets(container, stream), [None])):
        start = keys.before(wanted.left[0])
        if running and start > number:
            running = False
        if not running and number == start:
            context.flush_buffers()
            running, wanted.before = True, None
        if not running:
            continue
        if skipping:  # A frame of which no other is made: a third less work on H.264.
            context.skip_frame = "DEFAULT" if wanted.needs(packet) else "NONREF"
        for frame in _frames(context, packet):
            yield from wanted.answered_by(frame)
        if not wanted.left:
            return
    yield from wanted.rest()


class Wanted:
    """Stamps whose frames are still to come. `before` is the last frame that came."""

    def __init__(self, stamps: Sequence[int]) -> None:
        self.left = deque(stamps)
        self.before: VideoFrame | None = None
        self._all = frozenset(stamps)

    def needs(self, packet: Any) -> bool:
        """Say whether a packet (None: the end) has a frame that is wanted."""
        return packet is None or _stamp(packet) in self._all

    def answered_by(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        """Yield the frames that are known now: what is not shown itself is the one before it."""
        while self.left and frame.pts is not None and frame.pts >= self.left[0]:
            exact = frame.pts == self.left.popleft()
            yield _whole(frame if exact else self.before or frame)
        self.before = frame

    def rest(self) -> Iterator[VideoFrame]:
        """Yield the last frame for every stamp that never came."""
        while self.left:
            self.left.popleft()
            if self.before is None:
                raise RowRejected("damaged_video", "no frame can be decoded")
            yield _whole(self.before)


def _frames(context: Any, packet: Any) -> list[VideoFrame]:
    try:
        found: list[VideoFrame] = context.decode(packet)
    except FFmpegError as error:
        raise RowRejected("damaged_video", f"a frame cannot be decoded: {_said(error)}") from error
    return found


def _whole(frame: VideoFrame) -> VideoFrame:
    if frame.is_corrupt:
        raise RowRejected("damaged_video", f"the frame at {frame.time:.3f} s is damaged")
    return frame


def upright(frame: VideoFrame, squashed: float, max_side: int | None = None) -> NDArray[np.uint8]:
    """Return a frame as RGB with square pixels, upright: uint8, (height, width, 3).

    `squashed` is the width of a pixel over its height; `max_side` the longest side of the result.
    """
    width = frame.width
    if squashed != 1 and 1 / SQUASHED <= squashed <= SQUASHED:
        width = max(1, round(width * squashed))
    height, longest = frame.height, max(width, frame.height)
    if max_side is not None and longest > max_side:
        width = max(1, round(width * max_side / longest))
        height = max(1, round(height * max_side / longest))
    # Averages the pixels that become one; without a change of size it is never asked.
    how = "AREA" if width * height < frame.width * frame.height else "BILINEAR"
    rgb = frame.reformat(width, height, "rgb24", interpolation=how, threads=1).to_ndarray()
    return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))


def _said(error: FFmpegError) -> str:
    """Return FFmpeg's words, without the name of a file that there is not."""
    return error.strerror or type(error).__name__
