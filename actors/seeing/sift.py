"""Points that two pictures share, without any weights: SIFT, as OpenCV has it."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from actors.images import Picture
from actors.seeing.eye import check_shape
from actors.seeing.matches import Matches, PairMatcher
from actors.stage import Device, Item

SIDE = 1600
"""Longest side, in pixels, in which points are searched: 2,000 points of a textured picture of 12
megapixels took 0.5 CPU-s so, and 3.7 at its full size."""


class Described(NamedTuple):
    """A picture's points, in pixels of its file: float32 (n, 2); and what they look like: unit
    vectors, float32 (n, 128)."""

    points: np.ndarray
    looks: np.ndarray


class Sift(PairMatcher):
    """Points that look alike, and like no other: each is the other's nearest.

    A match scores 1 - d1 / d2, distances of the nearest and the second nearest look: 0.2 is
    Lowe's ratio of 0.8. Looks are compared as roots of their shares (RootSIFT).
    """

    side = SIDE

    def __init__(self, device: Device, threshold: float, points: int) -> None:
        cv2.setNumThreads(device.threads)
        self.threshold, self.count = threshold, points

    def show(self, picture: Picture) -> Described:
        """Find and describe a picture's points."""
        check_shape(picture.image)
        grey = picture.image.convert("L")
        grey.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
        points, looks = cv2.SIFT.create(self.count).detectAndCompute(np.asarray(grey), None)
        if looks is None:
            return Described(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
        # OpenCV's pixels have whole numbers in their middle.
        scale = np.array([picture.width / grey.width, picture.height / grey.height])
        places = (np.array([point.pt for point in points]) + 0.5) * scale - 0.5
        # OpenCV may give a few more than it was asked for.
        return Described(places.astype(np.float32)[: self.count], _roots(looks)[: self.count])

    def match(self, items: Sequence[Item]) -> list[Matches]:
        """Each pair by itself."""
        return [self._match(*item.data) for item in items]

    def _match(self, first: Described, other: Described) -> Matches:
        if len(first.looks) == 0 or len(other.looks) < 2:
            return Matches.best_first([], [], [])
        likeness = first.looks @ other.looks.T
        scores = _scores(likeness)
        nearest = likeness.argmax(axis=1)
        mutual = likeness.argmax(axis=0)[nearest] == np.arange(len(nearest))
        kept = mutual & (scores > self.threshold)
        return Matches.best_first(
            first.points[kept], other.points[nearest[kept]], scores[kept]
        )  # fmt: skip


def _roots(looks: np.ndarray) -> np.ndarray:
    """Return histograms (n, 128) as unit vectors: the roots of their shares."""
    sums = np.maximum(looks.sum(axis=1, keepdims=True), 1e-7)
    roots: np.ndarray = np.sqrt(looks / sums)
    return roots


def _scores(likeness: np.ndarray) -> np.ndarray:
    """Return 1 - d1 / d2 for each row of cosines (n, m)."""
    best = np.partition(likeness, -2, axis=1)[:, -2:]
    second, first = np.sqrt(np.maximum(0.0, 2 - 2 * best)).T
    scores: np.ndarray = 1 - np.divide(first, second, out=np.ones_like(first), where=second > 0)
    return scores
