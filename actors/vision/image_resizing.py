"""image-resizing: pictures made smaller, upright, and in one format, without a model."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa
from PIL import Image
from pydantic import model_validator

from actors import images
from actors.images import Picture
from actors.painted_stage import PaintedStage
from actors.stage import Batching, Columns, Device, Item, Model, ModelFiles, Row, option

LONGEST = 65_500
"""Most pixels a side: what JPEG holds, and enough for any model."""


class ImageResizing(PaintedStage):
    """Makes pictures smaller, holds them upright, and writes them in one format.

    It needs no model, so a pool of it on machines without a GPU can decode photos for a model that
    one core cannot feed: the next stage takes `resized` by  input: {image: resized}. Both sides
    should keep about twice what that model is shown: photos of 4000 x 3000 resized to 600 x 450
    moved the scores of a tiny random ViT, which is shown 224 x 224, by 0.0002. `width`
    and `height` of the answer are those of `resized`. Transparent parts are laid on white, and
    of an animation the first frame is taken.
    """

    reads: ClassVar[Columns] = {"image": pa.binary()}
    chunk: ClassVar[int] = 1
    example: ClassVar[Row] = {"max_side": 512}

    max_side: int | None = option(
        None, "Longest side in pixels; smaller pictures stay as they are.", ge=1, le=LONGEST
    )
    width: int | None = option(
        None, "Width in pixels; without a height, that follows.", ge=1, le=LONGEST
    )
    height: int | None = option(
        None, "Height in pixels; without a width, that follows.", ge=1, le=LONGEST
    )
    resample: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] = option(
        "bicubic", "How pixels are weighed."
    )
    format: Literal["png", "jpeg", "webp", "bmp"] = option("jpeg", "Format of the pictures.")
    decode: Literal["reduced", "full"] = option(
        "reduced", "Decode a JPEG much larger than asked at a part of its size, or in full."
    )
    max_pixels: int = option(
        images.MAX_PIXELS, "Larger pictures are rejected unread; so are larger results.", ge=1
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Refuse two sizes at once."""
        if self.max_side is not None and (self.width or self.height):
            other = "width" if self.width else "height"
            raise ValueError(f"'max_side' and '{other}' are two sizes; drop one")
        return self

    @property
    def writes(self) -> Columns:
        """The picture as a file, and its size in pixels."""
        return {"resized": pa.binary(), "width": pa.int32(), "height": pa.int32()}

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Nothing is loaded."""
        return Resizer(self)


class Resizer(Model):
    """Resizes pictures in the threads that prepare."""

    batching = Batching("fixed")

    def __init__(self, stage: ImageResizing) -> None:
        self.stage = stage

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per picture: all is done already."""
        return [[Item(self._resized(row))] for row in rows]

    def _resized(self, row: Row) -> tuple[bytes, int, int]:
        stage = self.stage
        sides = [stage.max_side, stage.width, stage.height]
        largest = max((side for side in sides if side), default=None)
        keep = images.ENOUGH * largest if largest and stage.decode == "reduced" else None
        picture = images.picture(row["image"], stage.max_pixels, at_least=keep)
        size = self._size(picture)
        images.check_size(*size, stage.max_pixels)
        image = picture.image
        if image.size != size:
            image = image.resize(size, Image.Resampling[stage.resample.upper()])
        return stage.file(image), *size

    def _size(self, picture: Picture) -> tuple[int, int]:
        """Return the width and height that are asked of a picture."""
        stage, width, height = self.stage, picture.width, picture.height
        if stage.width and stage.height:
            return stage.width, stage.height
        share = 1.0
        if stage.max_side:
            share = min(1.0, stage.max_side / max(width, height))
        elif stage.width or stage.height:
            share = stage.width / width if stage.width else (stage.height or height) / height
        return max(1, round(width * share)), max(1, round(height * share))

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Hand on what was made."""
        return [item.data for item in items]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The file and its size."""
        ((file, width, height),) = outputs
        return {"resized": file, "width": width, "height": height}
