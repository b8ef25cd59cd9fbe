"""What tasks share that look at one picture."""

from typing import ClassVar, Literal

import pyarrow as pa

from actors import images
from actors.images import Picture
from actors.stage import Columns, Row, Stage, option


class ImageStage(Stage):
    """Base of tasks on one picture: the bytes of an image file.

    Pictures that cannot be decoded are rejected; `actors/images.py` lists the reasons. A JPEG with
    more than twice the sides that the model is shown is decoded at a half, quarter or eighth of
    its size, as photo viewers do, unless `decode` is `full`.
    """

    reads: ClassVar[Columns] = {"image": pa.binary()}
    chunk: ClassVar[int] = 1

    decode: Literal["reduced", "full"] = option(
        "reduced",
        "Decode a JPEG much larger than the model's input at a part of its size (2 to 4 times"
        " faster on photos; scores of an ImageNet classifier moved by 0.007, and by 0.02 at most),"
        " or always in full.",
    )
    image_backend: Literal["pil", "torchvision"] = option(
        "pil",
        "What resizes pictures. The two give slightly different numbers, so it is never chosen"
        " for you; torchvision must be installed.",
    )
    max_pixels: int = option(images.MAX_PIXELS, "Larger images are rejected unread.", ge=1)

    def picture(self, row: Row, side: int | None = None, name: str = "image") -> Picture:
        """Return the row's picture; `side` is what a model is shown of it, in pixels.

        Raises RowRejected.
        """
        keep = images.ENOUGH * side if side and self.decode == "reduced" else None
        return images.picture(row[name], self.max_pixels, at_least=keep)
