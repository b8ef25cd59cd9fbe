"""A map of distances as a file: 16 grey bits with their scale, or NumPy's own format."""

import io
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from actors.errors import RowRejected
from actors.images import MAX_PIXELS, check_size

Unit = Literal["metres", "relative inverse"]
"""Metres from the camera; or a number without unit that is larger for what is nearer."""

DEEP = 65_535
"""The largest number of 16 bits: it stands for the map's maximum, 0 for its minimum."""

NPY = b"\x93NUMPY"
"""How a file of NumPy's begins."""

Map = NDArray[np.float32]
"""Depths, (height, width)."""


def png_of(depth: Map) -> bytes:
    """Return depths as a PNG of 16 grey bits: minimum + grey / DEEP x (maximum - minimum)."""
    low, high = float(depth.min()), float(depth.max())
    scale = DEEP / (high - low) if high > low else 0.0
    grey = np.rint((depth.astype(np.float64) - low) * scale).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue()


def npy_of(depth: Map) -> bytes:
    """Return depths as a file of NumPy's: float32, (height, width)."""
    buffer = io.BytesIO()
    np.save(buffer, depth.astype(np.float32), allow_pickle=False)
    return buffer.getvalue()


def depth_of(data: bytes, low: float | None, high: float | None) -> Map:
    """Return the depths of a file written by `png_of`, with its minimum and maximum, or `npy_of`.

    Raises RowRejected (bad_depth; image_too_large for a map larger than any picture is).
    """
    try:
        depth = _read(data, low, high)
    except UnidentifiedImageError as error:
        raise RowRejected("bad_depth", "the depth map is no PNG and no file of NumPy's") from error
    except (OSError, ValueError, MemoryError) as error:
        raise RowRejected("bad_depth", f"the depth map cannot be read: {error}") from error
    if depth.ndim != 2 or not depth.size or not np.isfinite(depth).all():
        raise RowRejected("bad_depth", "the depth map is not a picture of finite numbers")
    return depth


def _read(data: bytes, low: float | None, high: float | None) -> Map:
    if data.startswith(NPY):
        return np.asarray(np.load(io.BytesIO(data), allow_pickle=False), dtype=np.float32)
    if low is None or high is None or not np.isfinite([low, high]).all():
        raise ValueError("a PNG needs depth_min and depth_max, finite numbers")
    image = Image.open(io.BytesIO(data), formats=("PNG",))
    check_size(*image.size, MAX_PIXELS)
    if not image.mode.startswith("I"):
        raise ValueError("the PNG has 8 bits a pixel, and 16 grey ones are expected")
    grey = np.asarray(image, dtype=np.float64)
    return (low + grey / DEEP * (high - low)).astype(np.float32)
