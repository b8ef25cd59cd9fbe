"""Videos made by formula: moving pictures in any container, turned, uneven, cut."""

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np

from actors import sound
from actors.film import Pixels
from actors.stage import Row
from tests.tiny.voices import tone

MILLISECOND = Fraction(1, 1000)


def picture(number: int, width: int = 64, height: int = 48, seed: int = 0) -> Pixels:
    """A gradient that moves with every frame, and is another for every seed."""
    down, right = np.mgrid[:height, :width]
    red = (right * 4 + number * (5 + seed)) % 256
    green = (down * 5 + number * 3 + seed * 40) % 256
    blue = np.full_like(right, (number * 11 + seed * 70) % 256)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def film(
    frames: int = 30,
    format: str = "mp4",
    codec: str = "libx264",
    seed: int = 0,
    times: Sequence[float] | None = None,
    turned: int = 0,
    squashed: Fraction = Fraction(1),
    pixels: str = "yuv420p",
    width: int = 64,
    height: int = 48,
    **settings: Any,
) -> bytes:
    """A video of `frames` at 30 a second, or at `times` in seconds, with a key frame every 12.

    `turned` is the angle by which a player turns it counterclockwise, `squashed` the width of a
    pixel over its height.
    """
    file = io.BytesIO()
    with av.open(file, "w", format=format, options=settings) as container:
        options = {"g": "12", **settings}
        stream: Any = container.add_stream(codec, rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        stream.codec_context.sample_aspect_ratio = squashed
        if times is not None:
            stream.codec_context.time_base = MILLISECOND
        if turned:
            stream.set_display_rotation(turned)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, width, height, seed))
            if times is not None:
                frame.pts, frame.time_base = round(times[number] * 1000), MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def plain(data: bytes) -> list[tuple[float, Pixels]]:
    """Every frame with its time in seconds, decoded from the first to the last."""
    with av.open(io.BytesIO(data)) as container:
        return [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


def only_sound() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(tone(0.5)[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


FILMS: list[Row] = [
    {"video": film(30, seed=1)},
    {"video": film(90, "webm", "libvpx-vp9", seed=2)},
    {"video": film(20, codec="mpeg4", seed=3, turned=90)},
    {"video": film(1, seed=4)},
]
"""Videos of several lengths, shapes and formats, for any task that reads one."""

NO_FILMS: dict[str, Row] = {
    "null_input": {"video": None},
    "wrong_type": {"video": 7},
    "empty_file": {"video": b""},
    "unreadable_video": {"video": b"this is text, and no video"},
    "truncated_video": {"video": FILMS[0]["video"][:2000]},
    "no_video": {"video": only_sound()},
}
"""What any video task rejects: reason -> row."""

PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
CONCAT = b"ffconcat version 1.0\nfile /etc/hostname\n"
RECORDING = sound.encode(tone(0.2), 16_000, "FLAC")
