"""From the bytes of an image file to upright RGB pixels, under a cap; and back.

Every image task decodes here, so that one bad file has the same reason code everywhere:

null_input        the row has no image
wrong_type        it is not bytes
empty_file        no bytes
unreadable_image  an unknown or refused format, or corrupt data
truncated_image   the file ends before the picture does
image_too_large   more pixels than the cap, read from the header: nothing was decoded
image_too_small   a side is shorter than the task can use
image_too_narrow  one side is so much longer than the other that a model cannot be shown it
"""

import io
import struct
import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from actors.errors import RowRejected
from actors.files import file_of

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF", "ICO", "TGA")
"""What is read. EPS and PDF are not: Pillow hands them to Ghostscript, which runs programs."""

MAX_PIXELS = 64_000_000
"""Default cap: an A4 page at 800 dpi fits; as RGB it takes 192 MB."""

ENOUGH = 2
"""Pixels to decode for each one that a model is shown, along a side: reducing 12 megapixels to
224 x 224 from there moved the result by 0.3 of 255 levels on average, and by 2 at most."""

LONGEST = {"JPEG": 65_535, "WEBP": 16_383}
"""Longest side that a format can write, in pixels."""

_ORIENTATION = 0x0112
"""The EXIF tag that says how the camera was held."""

_SIDEWAYS = range(5, 9)
"""Its values for a camera held upright; cameras also write numbers that mean nothing."""

_BROKEN = (
    OSError,  # includes Pillow's UnidentifiedImageError
    ValueError,
    SyntaxError,  # what Pillow raises for a malformed PNG
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""What Pillow's readers raise on damaged files."""


class Picture(NamedTuple):
    """A decoded picture, upright RGB, and the pixels that it has in its file: `image` may have
    been decoded at a part of that size."""

    image: Image.Image
    width: int
    height: int


def picture(
    data: bytes | None,
    max_pixels: int = MAX_PIXELS,
    min_side: int = 1,
    at_least: int | None = None,
) -> Picture:
    """Return the first frame as an upright RGB image, transparent parts on white.

    `at_least` lets a JPEG be decoded at a half, quarter or eighth of its size as long as both
    sides keep that many pixels: faster for models with a small input. Raises RowRejected with the
    reasons above.
    """
    image = _open(data)
    check_size(*image.size, max_pixels, min_side)
    width, height = image.size
    try:
        if at_least is not None:
            image.draft(None, (at_least, at_least))
        image.load()
        turned = image.getexif().get(_ORIENTATION, 1)
        if turned in _SIDEWAYS:
            width, height = height, width
        # Without a turn this would copy the pixels: 0.5 ms for 640 x 480.
        upright = image if turned == 1 else ImageOps.exif_transpose(image)
        return Picture(_rgb(upright), width, height)
    except _BROKEN as error:
        raise _rejected(error) from error


def decode(data: bytes | None, max_pixels: int = MAX_PIXELS, min_side: int = 1) -> Image.Image:
    """Return the first frame at its full size; raises as `picture` does."""
    return picture(data, max_pixels, min_side).image


def encode(image: Image.Image, format: str, quality: int = 90) -> bytes:
    """Return a picture as a file of a format by Pillow's name; `quality` is for JPEG and WEBP.

    Raises RowRejected (image_too_large) where the format holds no picture of this size.
    """
    longest = LONGEST.get(format)
    if longest is not None and max(image.size) > longest:
        raise RowRejected(
            "image_too_large",
            f"{format} holds at most {longest} pixels a side, and the result has"
            f" {image.width} x {image.height}",
        )
    file = io.BytesIO()
    image.save(file, format, **({"quality": quality} if longest is not None else {}))
    return file.getvalue()


def _open(data: bytes | None) -> Image.Image:
    """Read the header only."""
    data = file_of(data, "image")
    # Pillow's own limit would warn or raise before ours, at a size that no option could change.
    Image.MAX_IMAGE_PIXELS = None
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except _BROKEN as error:
        raise _rejected(error) from error


def check_size(width: int, height: int, max_pixels: int, min_side: int = 1) -> None:
    """Raise RowRejected for a picture of too many pixels, or too short a side."""
    if width * height > max_pixels:
        raise RowRejected(
            "image_too_large",
            f"{width} x {height} pixels are more than the {max_pixels} allowed (max_pixels)",
        )
    if min(width, height) < min_side:
        raise RowRejected(
            "image_too_small", f"{width} x {height} pixels; each side needs {min_side}"
        )


def _rejected(error: Exception) -> RowRejected:
    """Name the damage: cut off, or anything else."""
    text = str(error).replace("<_io.BytesIO object at ", "<")
    if isinstance(error, EOFError) or "truncated" in text.lower():
        return RowRejected("truncated_image", f"the file ends too early: {text}")
    if "cannot identify" in text:
        text = f"not one of {', '.join(FORMATS)}"
    return RowRejected("unreadable_image", f"cannot be decoded: {text}")


def _rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB: deep greys are scaled, alpha is laid on white."""
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        front = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", front.size, "white"), front).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def _eight_bits(grey: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Scale a deep grey image (height, width) to 0..255.

    16-bit data keeps its full range; floats in 0..1 are that range; anything else (elevations,
    32-bit scans) is stretched from its own minimum to its own maximum.
    """
    values = np.nan_to_num(grey.astype(np.float64))
    low, high = 0.0, 65_535.0
    if grey.dtype.kind == "f":
        high = 1.0
    if values.min() < low or values.max() > high:
        low, high = float(values.min()), float(values.max())
    return np.asarray(np.rint((values - low) * (255.0 / (high - low))), dtype=np.uint8)
