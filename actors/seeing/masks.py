"""Which pixels of a picture belong to a thing: masks as runs, areas, boxes, and PNG files.

A mask is kept as the runs of its pixels, counted down the columns, as COCO's run-length encoding
counts them: a few hundred numbers instead of millions of pixels.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

RLE = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.list_(pa.int32()))])
"""COCO's run-length encoding, not compressed: height and width, and the lengths of the runs down
the columns, by turns outside and inside the mask, beginning outside."""


@dataclass(frozen=True, slots=True)
class Mask:
    """Pixels of a picture, as runs down its columns.

    starts, lengths: int64, (runs,); a pixel's number is its column x height + its row. Runs are in
    order and do not touch.
    """

    height: int
    width: int
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, pixels: NDArray[np.bool_]) -> "Mask":
        """Return the mask of (height, width) booleans."""
        found = parts(pixels.astype(np.uint8)).get(1)
        if found is not None:
            return found
        height, width = pixels.shape
        none = np.zeros(0, dtype=np.int64)
        return cls(height, width, none, none)

    @classmethod
    def read(cls, rle: Mapping[str, Any]) -> "Mask":
        """Return the mask of an RLE."""
        counts = np.asarray(rle["counts"], dtype=np.int64)
        ends = np.cumsum(counts)
        lengths = counts[1::2]
        full = lengths > 0
        height, width = rle["size"]
        return cls(height, width, (ends[1::2] - lengths)[full], lengths[full])

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(self.lengths.sum())

    @property
    def box(self) -> dict[str, float]:
        """The smallest box around the mask: edges of pixels, 0, 0, 1, 1 around the first one; all
        zero without pixels."""
        if not len(self.starts):
            return dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), 0.0)
        first, top = np.divmod(self.starts, self.height)
        last, bottom = np.divmod(self.starts + self.lengths - 1, self.height)
        wraps = bool((last > first).any())
        return {
            "xmin": float(first[0]),
            "ymin": 0.0 if wraps else float(top.min()),
            "xmax": float(last[-1] + 1),
            "ymax": float(self.height if wraps else bottom.max() + 1),
        }

    def rle(self) -> dict[str, list[int]]:
        """Return the mask as RLE."""
        ends = self.starts + self.lengths
        gaps = np.diff(self.starts, prepend=0)
        gaps[1:] -= self.lengths[:-1]
        counts = np.stack([gaps, self.lengths], axis=1).ravel().tolist()
        left = self.height * self.width - (int(ends[-1]) if len(ends) else 0)
        return {"size": [self.height, self.width], "counts": counts + [left] * (left > 0)}

    def pixels(self) -> NDArray[np.bool_]:
        """Return the mask as (height, width) booleans."""
        steps = np.zeros(self.height * self.width + 1, dtype=np.int8)
        steps[self.starts] = 1
        steps[self.starts + self.lengths] -= 1
        inside = np.cumsum(steps[:-1], dtype=np.int8).astype(bool)
        return inside.reshape(self.width, self.height).T

    def png(self) -> bytes:
        """Return the mask as a PNG of one bit a pixel: white inside."""
        return _encoded(Image.fromarray(np.ascontiguousarray(self.pixels())))


def parts(numbers: NDArray[Any]) -> dict[int, Mask]:
    """Return the mask of each number in a map of integers, (height, width), by number."""
    height, width = numbers.shape
    flat = numbers.T.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1]).astype(np.int64)
    lengths = np.diff(starts, append=flat.size)
    of_run = flat[starts]
    order = np.argsort(of_run, kind="stable")
    found, first = np.unique(of_run[order], return_index=True)
    runs = np.split(order, first[1:])
    return {
        int(number): Mask(height, width, starts[run], lengths[run])
        for number, run in zip(found, runs, strict=True)
    }


def map_png(numbers: NDArray[Any]) -> bytes:
    """Return a map of numbers from 0 as a grey PNG: 8 bits a pixel where they suffice, or 16."""
    kind = np.uint8 if int(numbers.max(initial=0)) < 256 else np.uint16
    return _encoded(Image.fromarray(np.ascontiguousarray(numbers.astype(kind))))


def _encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
