"""video-frames: pictures out of a video, for tasks that look at pictures."""

import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import model_validator

from actors.errors import RowRejected
from actors.film import Film, Pixels
from actors.stage import Batching, Columns, Device, Item, Model, ModelFiles, Row, option
from actors.video_stage import VideoStage
from actors.watching.clips import moments

FRAMES = pa.list_(pa.struct([("time", pa.float32()), ("image", pa.binary())]))
"""Pictures, and when they are shown, in seconds."""

COUNT = 8
"""Frames where neither their number nor their rate is asked for."""


class VideoFrames(VideoStage):
    """Takes pictures out of a video: evenly spread, or so many a second.

    `frames` holds them as encoded image files with their times (seconds), upright and in order.
    `cover` is one of them, at `cover_time`: an image that any image task can read with
    `input: {image: cover}`. Works without a model. A video with fewer frames than asked for gives
    each of its frames once.
    """

    count: int | None = option(
        None, f"Frames, evenly spread. Default: {COUNT}, unless frame_rate is set.", ge=1, le=10_000
    )
    frame_rate: float | None = option(
        None, "Frames a second in place of a count; 0.1 is one in 10 s.", gt=0, le=1_000
    )
    max_frames: int = option(
        1_000, "With frame_rate: videos that would give more are rejected.", ge=1, le=100_000
    )
    cover: Literal["sharpest", "middle"] = option(
        "sharpest", "Which of the frames is the cover: the one with most detail, or the middle one."
    )
    max_side: int = option(
        1_024, "Longest side of a picture in pixels; larger ones are scaled down.", ge=16, le=16_384
    )
    format: Literal["jpeg", "png", "webp"] = option("jpeg", "How pictures are encoded.")
    quality: int = option(90, "Quality of JPEG and WebP.", ge=1, le=100)

    @property
    def writes(self) -> Columns:
        """The frames; the cover and its time in seconds."""
        return {"frames": FRAMES, "cover": pa.binary(), "cover_time": pa.float32()}

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> "VideoFrames":
        if self.count is not None and self.frame_rate is not None:
            raise ValueError("count and frame_rate both say how many frames: give one of them")
        return self

    def load(self, files: ModelFiles, device: Device) -> Model:
        """There is nothing to load."""
        return Photographer(self)


class Photographer(Model):
    """Takes pictures out of videos; nothing goes to the device."""

    batching = Batching("fixed", rows=1)

    def __init__(self, stage: VideoFrames) -> None:
        self.stage = stage

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per video: its answer. Decoding and encoding belong in these threads."""
        return [[Item(self._answer(self.stage.film(row)))] for row in rows]

    def _answer(self, film: Film) -> Row:
        frames, details = [], []
        for number, pixels in film.frames(self._numbers(film), self.stage.max_side):
            frames.append({"time": float(film.times[number]), "image": self._encoded(pixels)})
            details.append(detail(pixels))
        middle = (len(frames) - 1) // 2
        best = frames[int(np.argmax(details)) if self.stage.cover == "sharpest" else middle]
        return {"frames": frames, "cover": best["image"], "cover_time": best["time"]}

    def _numbers(self, film: Film) -> list[int]:
        """Return which frames are asked for. Raises RowRejected (too_many_frames)."""
        if self.stage.frame_rate is None:
            return film.at(moments(0.0, film.seconds, self.stage.count or COUNT))
        step = 1 / self.stage.frame_rate
        count = max(1, int(np.ceil(film.seconds / step)))
        if count > self.stage.max_frames:
            raise RowRejected(
                "too_many_frames",
                f"{film.seconds:.1f} s give {count} frames, more than the {self.stage.max_frames}"
                " allowed (max_frames)",
            )
        return film.at([step * number for number in range(count)])

    def _encoded(self, pixels: Pixels) -> bytes:
        file = io.BytesIO()
        settings = {} if self.stage.format == "png" else {"quality": self.stage.quality}
        Image.fromarray(pixels).save(file, self.stage.format.upper(), **settings)
        return file.getvalue()

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """The answers as they are."""
        return [item.data for item in items]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The only item's answer."""
        (answer,) = outputs
        return dict(answer)


def detail(pixels: Pixels) -> float:
    """Return how much fine detail a picture has: the variance of its second derivative. Blurred
    and empty pictures have little."""
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())
