"""What tasks share that watch one video."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import pyarrow as pa

from actors import film
from actors.film import Film, Limits
from actors.stage import Columns, Row, Stage, option


class VideoStage(Stage):
    """Base of tasks on one video: the bytes of a video file.

    Videos that cannot be decoded are rejected; `actors/film.py` lists the reasons.
    """

    reads: ClassVar[Columns] = {"video": pa.binary()}
    chunk: ClassVar[int] = 1

    max_seconds: float = option(
        film.MAX_SECONDS, "Longer videos are rejected undecoded.", gt=0, le=1e6
    )
    max_pixels: int = option(
        film.MAX_PIXELS, "Videos with larger frames are rejected undecoded.", ge=1
    )

    def wired(self, inputs: Collection[str], config: Mapping[str, Any] | None) -> str | None:
        """Say what to install where videos cannot be decoded."""
        return None if film.is_installed() else film.MISSING

    def film(self, row: Row) -> Film:
        """Return the row's video, not decoded yet. Raises RowRejected."""
        return Film(row["video"], Limits(self.max_seconds, self.max_pixels))
