"""Video: one file is one row. Its frames are counted and the first is decoded; nothing else is."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from actors import film
from actors.errors import UsageError
from pipelines.sources.whole import WholeFiles
from pipelines.units import SourceFile

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("video", pa.binary()),
        ("video_seconds", pa.float64()),
        ("video_width", pa.int32()),
        ("video_height", pa.int32()),
        ("video_frames", pa.int32()),
        ("video_frame_rate", pa.float64()),
        ("video_codec", pa.string()),
    ]
)


class Video(WholeFiles):
    """Rows from video files: `path`, `video` (the file's bytes), and what was found in the file:
    `video_seconds`, `video_width` and `video_height` (pixels, upright), `video_frames`,
    `video_frame_rate` (a second, on average; null for a video of no length) and `video_codec`.

    Headers are not believed: frames are counted. Needs the extra `video`.
    """

    layout: ClassVar[pa.Schema] = SCHEMA
    endings: ClassVar[tuple[str, ...]] = (
        ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg",
        ".flv", ".wmv", ".ogv", ".3gp",
    )  # fmt: skip

    kind: Literal["video"] = "video"
    max_seconds: float = Field(
        default=film.MAX_SECONDS, gt=0, description="Longest video; longer ones are rejected."
    )
    max_pixels: int = Field(
        default=film.MAX_PIXELS, ge=1, description="Largest frame; larger ones are rejected."
    )
    max_bytes: int = Field(
        default=1 << 30,
        ge=1,
        description="Largest file; larger ones are rejected. An hour at 2 Mbit/s is 900 MB.",
    )

    def columns_of(self, files: Sequence[SourceFile]) -> pa.Schema:
        """Return the columns. Raises UsageError where videos cannot be decoded."""
        if not film.is_installed():
            raise UsageError(film.MISSING)
        return super().columns_of(files)

    def row(self, data: bytes) -> Mapping[str, Any]:
        """Return the video and what is in it; what is no whole video is a reject."""
        header = film.inspect(data, film.Limits(self.max_seconds, self.max_pixels))
        return {
            "video": data,
            "video_seconds": header.seconds,
            "video_width": header.width,
            "video_height": header.height,
            "video_frames": header.frames,
            "video_frame_rate": header.frame_rate,
            "video_codec": header.codec,
        }
