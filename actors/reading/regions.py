"""The regions of a page: which are twice there, in what order they are read, whose a line is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Edges = NDArray[np.float32]
"""Boxes: (n, 4), left, top, right, bottom in pixels."""

SLACK = 0.05
"""Share of a box, at each end, that may reach into its neighbour: detectors draw boxes loosely."""

OWN = 0.5
"""Share of a line's box that lies in the region that it belongs to, at least."""


def distinct(boxes: Edges, most: float) -> NDArray[np.intp]:
    """Return the indices of boxes, best first, of which none shares more than `most` of the area
    of both together with a better one."""
    kept: list[int] = []
    for index in range(len(boxes)):
        shared = _shared(boxes[index], boxes[kept])
        both = _area(boxes[index]) + _area(boxes[kept]) - shared
        if not len(kept) or (shared <= most * both).all():
            kept.append(index)
    return np.array(kept, dtype=np.intp)


def reading_order(boxes: Edges) -> list[int]:
    """Return the indices of boxes as a person reads them: columns from left to right, and each
    from top to bottom; what reaches across columns parts them into bands.
    """
    if len(boxes) == 0:
        return []
    size = boxes[:, 2:] - boxes[:, :2]
    tight = np.concatenate([boxes[:, :2] + SLACK * size, boxes[:, 2:] - SLACK * size], axis=1)
    return _ordered(tight, list(range(len(boxes))))


def owner(line: Sequence[float], boxes: Edges) -> int | None:
    """Return the index of the region that a line belongs to: that which holds the most of it, the
    smallest among equals; None where none holds half of it."""
    edges = np.asarray(line, dtype=np.float32)
    share = _shared(edges, boxes) / np.maximum(_area(edges), 1e-6)
    if not len(boxes) or share.max() < OWN:
        return None
    best = np.flatnonzero(share >= share.max() - 1e-3)
    return int(best[_area(boxes[best]).argmin()])


def _ordered(boxes: Edges, chosen: list[int]) -> list[int]:
    """Cut into columns where that can be done, else into bands, else go from the top."""
    columns = _parts(boxes, chosen, axis=0)
    if len(columns) > 1:
        return [index for column in columns for index in _ordered(boxes, column)]
    bands = _joined(boxes, _parts(boxes, chosen, axis=1))
    if len(bands) > 1:
        return [index for band in bands for index in _ordered(boxes, band)]
    return sorted(chosen, key=lambda index: (boxes[index, 1], boxes[index, 0]))


def _parts(boxes: Edges, chosen: list[int], axis: int) -> list[list[int]]:
    """Cut where no box is: axis 0 gives columns, axis 1 bands."""
    parts: list[list[int]] = []
    reach = -np.inf
    for index in sorted(chosen, key=lambda index: boxes[index, axis]):
        if boxes[index, axis] >= reach:
            parts.append([])
        parts[-1].append(index)
        reach = max(reach, boxes[index, axis + 2])
    return parts


def _joined(boxes: Edges, bands: list[list[int]]) -> list[list[int]]:
    """Join bands that stand in the same columns: gaps of two columns may lie side by side."""
    joined: list[list[int]] = []
    for band in bands:
        if joined and len(_parts(boxes, joined[-1] + band, axis=0)) > 1:
            joined[-1] = joined[-1] + band
        else:
            joined.append(band)
    return joined


def _area(boxes: Edges) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return found


def _shared(box: Edges, boxes: Edges) -> NDArray[np.float32]:
    """Return the area that a box shares with each of others."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    found: NDArray[np.float32] = np.clip(high - low, 0, None).prod(axis=-1)
    return found
