"""Where text stands on a page: rotated boxes from a detector's heat map, straight crops of them.

Coordinates are pixels of the upright page, x to the right and y down; angles are degrees, positive
clockwise as seen. Boxes stay rotated: cutting a skewed page along its axes cost 21 % of the
characters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Page = NDArray[np.uint8]
"""RGB pixels: height, width, 3."""

MIN_SCORE = 0.5  # mean heat inside a region; what RapidOCR uses for these weights
GROW = 1.6  # the detector is trained on shrunken regions; RapidOCR's factor to undo it
MIN_SIDE = 3  # pixels of the heat map; the reference implementation drops smaller regions


@dataclass(frozen=True, slots=True)
class Box:
    """One line or word: centre, size along and across the reading direction, its angle, a score."""

    x: float
    y: float
    width: float
    height: float
    angle: float
    score: float

    def polygon(self) -> list[float]:
        """Return the corners x1 y1 ... x4 y4, from the start of the text's top, clockwise."""
        along, across = self._axes()
        centre = np.array([self.x, self.y])
        corners = (-along - across, along - across, along + across, across - along)
        points = np.array([centre + corner for corner in corners], np.float32)
        return [float(value) for value in points.ravel()]

    def _axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Half of the box along and across the reading direction, as vectors."""
        turn = math.radians(self.angle)
        along = np.array([math.cos(turn), math.sin(turn)]) * (self.width / 2)
        across = np.array([-math.sin(turn), math.cos(turn)]) * (self.height / 2)
        return along, across

    def crop(self, page: Page, size: tuple[int, int] | None = None) -> Page:
        """Cut the box out of the page, straight, in its own size or in `size` (width, height)."""
        own = (max(1, round(self.width)), max(1, round(self.height)))
        if size is None or own[1] > 2 * size[1]:  # a warp this strong would skip pixels
            straight = self._warp(page, own)
            return straight if size is None else _resize(straight, size)
        return self._warp(page, size)

    def _warp(self, page: Page, size: tuple[int, int]) -> Page:
        width, height = size
        source = np.array(self.polygon(), np.float32).reshape(4, 2)[[0, 1, 3]]
        # Corners are edges of pixels, and cv2 counts from pixel centres: half a pixel less each.
        target = np.array([[0, 0], [width, 0], [0, height]], np.float32) - 0.5
        matrix = cv2.getAffineTransform(source - 0.5, target)
        border = cv2.BORDER_REPLICATE
        out = cv2.warpAffine(page, matrix, size, flags=cv2.INTER_CUBIC, borderMode=border)
        return np.asarray(out, np.uint8)


def find_boxes(heat: NDArray[np.float32], size: tuple[int, int], threshold: float) -> list[Box]:
    """Return the boxes of a heat map (height, width; 0..1) on a page of `size` (width, height)."""
    scale = np.array([size[0] / heat.shape[1], size[1] / heat.shape[0]])
    mask = (heat > threshold).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    regions = []
    for contour in contours:
        score = _mean_inside(heat, contour)
        if score >= MIN_SCORE and min(cv2.minAreaRect(contour)[1]) >= MIN_SIDE:
            regions.append(((contour[:, 0] + 0.5) * scale, score))
    return _boxes(regions)


def _mean_inside(heat: NDArray[np.float32], contour: NDArray[np.int32]) -> float:
    left, top, width, height = cv2.boundingRect(contour)
    inside = np.zeros((height, width), np.uint8)
    cv2.drawContours(inside, [contour - [left, top]], -1, 1, -1)
    return float(cv2.mean(heat[top : top + height, left : left + width], inside)[0])


def _boxes(regions: Sequence[tuple[NDArray[np.float64], float]]) -> list[Box]:
    """Box each region at its own angle if it is long, at the page's angle if it is short.

    A long line knows its angle to a tenth of a degree; the least rectangle around a short word
    may lie anyhow.
    """
    first = [_least_box(points, score) for points, score in regions]
    skew = page_angle(first)
    usual = float(np.median([min(box.width, box.height) for box in first])) if first else 0.0
    boxes = []
    for (points, score), box in zip(regions, first, strict=True):
        if box.width < 4 * box.height and abs(box.angle - skew) < 15:
            box = _box_at(points, score, skew)
        boxes.append(_grown(_upright(box, usual)))
    return boxes


def page_angle(boxes: Sequence[Box]) -> float:
    """Return the usual angle of the page's lines: the median over the long boxes."""
    angles = [box.angle for box in boxes if box.width > 2 * box.height and abs(box.angle) <= 45]
    return float(np.median(angles)) if angles else 0.0


def _least_box(points: NDArray[np.float64], score: float) -> Box:
    """The smallest rectangle around the points, its angle in (-45, 45]."""
    (x, y), (width, height), angle = cv2.minAreaRect(points.astype(np.float32))
    while angle > 45:
        width, height, angle = height, width, angle - 90
    while angle <= -45:
        width, height, angle = height, width, angle + 90
    return Box(x, y, width, height, angle, score)


def _box_at(points: NDArray[np.float64], score: float, angle: float) -> Box:
    """The rectangle around the points at a given angle."""
    turn = math.radians(angle)
    axes = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    turned = points @ axes.T
    low, high = turned.min(0), turned.max(0)
    centre = (low + high) / 2 @ axes
    width, height = high - low
    return Box(float(centre[0]), float(centre[1]), float(width), float(height), angle, score)


def _upright(box: Box, usual: float) -> Box:
    """Turn a box of vertical text, so that it is read from top to bottom.

    A single narrow digit is also tall, but no taller than the page's lines (`usual`, pixels).
    """
    if box.height > 1.5 * box.width and box.height > 1.5 * usual:
        return Box(box.x, box.y, box.height, box.width, box.angle + 90, box.score)
    return box


def _grown(box: Box) -> Box:
    """Undo the shrinking of the training masks: area over perimeter on every side."""
    extra = GROW * box.width * box.height / (box.width + box.height)
    return Box(box.x, box.y, box.width + extra, box.height + extra, box.angle, box.score)


def _resize(image: Page, size: tuple[int, int]) -> Page:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
