"""The order in which a person reads the boxes of a page: columns, rows, paragraphs.

The page's skew is taken out first. A page is cut into columns only where both sides look like
running text; cells of a table or a form stay in their rows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from actors.reading.boxes import Box, page_angle

SAME_ROW = 0.5  # of the lower height: centres nearer than this share a row
GUTTER = 0.8  # of a line's height: the narrowest gap between two columns
PROSE_WIDTH = 8  # times the height: cells of tables are shorter than lines of running text
PROSE_FILL = 0.3  # of its column (or of three of them): what a usual line of running text fills
PROSE_LINES = 3  # lines on each side before a gap is a gutter
NEW_PARAGRAPH = 1.35  # times the usual distance of two lines
LOOSE = 1.5  # times its height: a row of a form with such a distance below, which
SHORT = 0.75  # of the page's text width is not filled, is no part of running text


@dataclass(frozen=True, slots=True)
class Place:
    """A box in the coordinates of the straightened page, and its index among all boxes."""

    index: int
    left: float
    right: float
    y: float
    height: float


Row = list[Place]


def reading_order(boxes: Sequence[Box]) -> list[list[list[int]]]:
    """Return paragraphs of rows of indices into `boxes`, each box once."""
    rows = _read(_straightened(boxes))
    return [[[place.index for place in row] for row in rows] for rows in _paragraphs(rows)]


def _straightened(boxes: Sequence[Box]) -> list[Place]:
    turn = math.radians(page_angle(boxes))
    cosine, sine = math.cos(turn), math.sin(turn)
    places = []
    for index, box in enumerate(boxes):
        x, y = box.x * cosine + box.y * sine, box.y * cosine - box.x * sine
        upright = abs(box.angle) <= 45
        width, height = (box.width, box.height) if upright else (box.height, box.width)
        places.append(Place(index, x - width / 2, x + width / 2, y, height))
    return places


def _read(places: list[Place]) -> list[Row]:
    """Rows in reading order: band by band, and in a band of columns the left one first."""
    gutter = _gutter(places)
    if gutter is None:
        return _rows(places)
    rows: list[Row] = []
    plain: list[Place] = []
    for band in _bands(places, gutter):
        if not _columns(band, gutter):
            plain += band
            continue
        left, right = _sides(band, gutter)
        rows += [*_read(plain), *_read(left), *_read(right)]
        plain = []
    return rows + _read(plain)


def _rows(places: list[Place]) -> list[Row]:
    """Group boxes of about the same height on the page, each row from left to right."""
    rows: list[Row] = []
    for place in sorted(places, key=lambda place: place.y):
        for row in reversed(rows[-3:]):
            if abs(row[0].y - place.y) < SAME_ROW * min(row[0].height, place.height):
                row.append(place)
                break
        else:
            rows.append([place])
    return [sorted(row, key=lambda place: place.left) for row in rows]


def _gutter(places: list[Place]) -> float | None:
    """The x of the gap that parts the most boxes into columns of running text, if there is one."""
    best, gutter = 0, None
    for x in _gaps(places):
        parted = sum(len(band) for band in _bands(places, x) if _columns(band, x))
        if parted > best:
            best, gutter = parted, x
    return gutter


def _gaps(places: list[Place]) -> list[float]:
    """The middles of the gaps between neighbours on a level, each once (to half a height)."""
    level = sorted(places, key=lambda place: place.y)
    found: dict[int, float] = {}
    for number, place in enumerate(level):
        near = _near(level, number)
        left = min((p.left for p in near if p.left >= place.right), default=None)
        if left is not None and left - place.right >= GUTTER * place.height:
            middle = (place.right + left) / 2
            found.setdefault(round(2 * middle / place.height), middle)
    return list(found.values())


def _near(level: list[Place], number: int) -> list[Place]:
    """The boxes whose middle is less than a height above or below that of level[number]."""
    place, low, high = level[number], number, number
    while low > 0 and place.y - level[low - 1].y < place.height:
        low -= 1
    while high + 1 < len(level) and level[high + 1].y - place.y < place.height:
        high += 1
    return level[low : high + 1]


def _bands(places: list[Place], x: float) -> list[list[Place]]:
    """Cut the page, from top to bottom, wherever boxes begin or cease to reach across x."""
    bands: list[list[Place]] = []
    across = None
    for place in sorted(places, key=lambda place: place.y):
        crosses = place.left < x < place.right
        if crosses != across:
            bands.append([])
            across = crosses
        bands[-1].append(place)
    return bands


def _sides(band: list[Place], x: float) -> tuple[list[Place], list[Place]]:
    return [p for p in band if p.right <= x], [p for p in band if p.right > x]


def _columns(band: list[Place], x: float) -> bool:
    """Whether x parts the band into two columns of running text."""
    return all(_is_prose(side) for side in _sides(band, x))


def _is_prose(side: list[Place]) -> bool:
    if len(side) < PROSE_LINES:
        return False
    width = median(place.right - place.left for place in side)
    extent = max(place.right for place in side) - min(place.left for place in side)
    return width >= PROSE_WIDTH * median(p.height for p in side) and width >= PROSE_FILL * extent


def _paragraphs(rows: list[Row]) -> list[list[Row]]:
    """Part rows that stand further apart than usual; a new column goes on with its paragraph."""
    steps = [below[0].y - above[0].y for above, below in pairwise(rows)]
    usual = median([step for step in steps if step > 0] or [0.0])
    edge = _short_of(rows)
    paragraphs: list[list[Row]] = [rows[:1]] if rows else []
    for step, above, row in zip(steps, rows, rows[1:], strict=False):
        loose = step > LOOSE * above[0].height and above[-1].right < edge
        if step > NEW_PARAGRAPH * usual or loose:
            paragraphs.append([])
        paragraphs[-1].append(row)
    return paragraphs


def _short_of(rows: list[Row]) -> float:
    """The x before which a row ends early."""
    left = min((row[0].left for row in rows), default=0.0)
    right = max((row[-1].right for row in rows), default=0.0)
    return left + SHORT * (right - left)
