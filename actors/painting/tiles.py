"""Large pictures in tiles that overlap, so that memory is bounded and no seam is seen.

A tile lends the whole picture only its middle: a `halo` of pixels around it is computed and thrown
away, because near a cut a model sees less than it would in the whole. Tiles begin at multiples of
GRID, so that a model that looks through windows looks through the same ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass

GRID = 32
"""Pixels. Windows of 8 and of 16, and paddings to them, are the same in a tile as in the whole."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A tile along one axis: the pixels that a model is shown, and of those the ones kept."""

    start: int
    end: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile of a picture: columns and rows."""

    across: Stretch
    down: Stretch

    @property
    def box(self) -> tuple[int, int, int, int]:
        """What is shown: left, top, right, bottom."""
        return self.across.start, self.down.start, self.across.end, self.down.end


def tiles(width: int, height: int, side: int, halo: int) -> list[Tile]:
    """Return tiles of at most `side` pixels that keep every pixel of a picture once, row by row.

    `side` and `halo` are multiples of GRID, side more than twice the halo.
    """
    rows, columns = list(_stretches(height, side, halo)), list(_stretches(width, side, halo))
    return [Tile(column, row) for row in rows for column in columns]


def _stretches(length: int, side: int, halo: int) -> Iterator[Stretch]:
    start = 0
    while True:
        end = min(start + side, length)
        last = length if end == length else end - halo
        yield Stretch(start, end, start + halo if start else 0, last)
        if end == length:
            return
        start += side - 2 * halo
