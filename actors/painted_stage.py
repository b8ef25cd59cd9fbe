"""What tasks share that answer with a picture."""

from typing import Literal

import pyarrow as pa
from PIL import Image

from actors import images
from actors.stage import Columns, Stage, option

PAINTED: Columns = {"image": pa.binary(), "width": pa.int32(), "height": pa.int32()}
"""A new picture: its file, and its size in pixels."""


class PaintedStage(Stage):
    """Base of tasks that answer with a picture: the bytes of an image file."""

    format: Literal["png", "jpeg", "webp", "bmp"] = option(
        "png", "Format of the pictures; png and bmp keep every pixel as it is."
    )
    quality: int = option(
        90, "Of jpeg and webp: from 1, small and poor, to 100, large and good.", ge=1, le=100
    )

    def file(self, image: Image.Image) -> bytes:
        """Return the picture as a file. Raises RowRejected (image_too_large)."""
        return images.encode(image, self.format.upper(), self.quality)
