"""Where in a picture scores are high: boxes around the places, and a map to look at."""

import io

import numpy as np
import pyarrow as pa
from PIL import Image
from scipy import ndimage

from actors.detections import BOX
from actors.stage import Row

REGIONS = pa.list_(pa.struct([("box", BOX), ("score", pa.float32())]))
"""Boxes in pixels of the upright picture, each with its highest score; the highest first."""

WHITE = 2.0
"""The score that is white in a map."""


def regions_of(scores: np.ndarray, size: tuple[int, int], threshold: float) -> list[Row]:
    """Return boxes around the places (rows, columns) that score at least `threshold`; those that
    touch, also at a corner, are one. `size` is the picture's width and height."""
    numbers, _ = ndimage.label(scores >= threshold, structure=np.ones((3, 3)))
    found = [
        {"box": _box(place, scores.shape, size), "score": float(scores[place][mask].max())}
        for number, place in enumerate(ndimage.find_objects(numbers), 1)
        for mask in [numbers[place] == number]
    ]
    return sorted(found, key=lambda one: -one["score"])


def _box(place: tuple[slice, slice], shape: tuple[int, ...], size: tuple[int, int]) -> Row:
    """Return the box of rows and columns of a grid, in pixels of the picture."""
    (down, right), (rows, columns), (width, height) = place, shape, size
    return {
        "xmin": right.start * width / columns,
        "ymin": down.start * height / rows,
        "xmax": right.stop * width / columns,
        "ymax": down.stop * height / rows,
    }


def map_of(scores: np.ndarray, size: tuple[int, int], side: int) -> bytes:
    """Return scores (rows, columns) as a grey PNG of the picture's shape, `side` pixels long at
    most: 0 is black, WHITE and more is white."""
    share = min(1.0, side / max(size))
    shape = (max(1, round(size[0] * share)), max(1, round(size[1] * share)))
    smooth = Image.fromarray(scores.astype(np.float32)).resize(shape, Image.Resampling.BILINEAR)
    grey = np.clip(np.asarray(smooth) * (255 / WHITE), 0, 255).round().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue()
