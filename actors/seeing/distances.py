"""Boxes from distances: what detectors answer that were trained with distribution focal loss.

For each point of a grid they give scores of all labels, and for each side of a box how likely it
is 0, 1, 2... strides away.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# As the detectors' authors set them (NanoDet, PicoDet): what scores less is never looked at, of
# two boxes of one label that overlap more the better one stays, and so many points are looked at.
LEAST = 0.05
OVERLAP = 0.6
POINTS = 1000


class Level(NamedTuple):
    """What a detector says at one size of grid: its `stride` in pixels, `scores` (rows, columns,
    labels) in 0..1 and `distances` (rows, columns, 4 x steps) before softmax."""

    stride: int
    scores: Tensor
    distances: Tensor


class Found(NamedTuple):
    """Things found in a picture, best first: `labels` (things,) int64, `scores` (things,) float32,
    `boxes` (things, 4) float32: xmin, ymin, xmax, ymax in pixels."""

    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]

    def with_size(self) -> "Found":
        """Return the things whose box has an inside: one beyond the picture's edge, cut to it,
        has none."""
        sized = (self.boxes[:, 2:] > self.boxes[:, :2]).all(axis=1)
        return Found(self.labels[sized], self.scores[sized], self.boxes[sized])


def found(levels: Sequence[Level]) -> Found:
    """Return what is found in one picture, each thing once, in the pixels that the model saw."""
    boxes = torch.cat([_boxes(level) for level in levels])
    scores = torch.cat([level.scores.flatten(0, 1) for level in levels])
    points, labels = torch.nonzero(scores > LEAST, as_tuple=True)
    kept = scores[points, labels].topk(min(POINTS, len(points))).indices
    points, labels = points[kept], labels[kept]
    best = scores[points, labels].float().cpu().numpy()
    return _apart(Found(labels.cpu().numpy(), best, boxes[points].float().cpu().numpy()))


def _boxes(level: Level) -> Tensor:
    """Return a level's boxes: (points, 4)."""
    rows, columns, width = level.distances.shape
    steps = torch.arange(width // 4, device=level.distances.device, dtype=torch.float32)
    likely = level.distances.float().reshape(rows * columns, 4, -1).softmax(-1)
    left, top, right, bottom = (likely @ steps * level.stride).unbind(-1)
    y = (torch.arange(rows, device=left.device) + 0.5).repeat_interleave(columns) * level.stride
    x = (torch.arange(columns, device=left.device) + 0.5).repeat(rows) * level.stride
    return torch.stack([x - left, y - top, x + right, y + bottom], -1)


def _apart(things: Found) -> Found:
    """Leave out boxes that overlap a better one of the same label."""
    if not len(things.scores):
        return things
    corners = things.boxes.astype(np.float64)
    sized = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
    kept = cv2.dnn.NMSBoxesBatched(
        sized.tolist(), things.scores.tolist(), things.labels.tolist(), LEAST, OVERLAP
    )
    order = np.asarray(kept, np.int64)
    order = order[np.argsort(-things.scores[order], kind="stable")]
    return Found(things.labels[order], things.scores[order], things.boxes[order])
