"""The nouns of exactness: what a source file is, a slice of its rows, and the unit of work.

A unit is a fixed slice of the source. What it covers is named by file, version and row range alone,
so that cutting the same rows again names them alike on any machine. Everything here is plain data
and pickles.
"""

import bisect
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

FILES_PER_UNIT = 512
"""Most spans in one unit: a version check is one request per file on object stores, and at about
20 ms each this keeps the checks of one unit near ten seconds when they run one after the other."""

SNAP = 0.75
"""A cut moves back to a border (a Parquet row group) when it keeps this share of its rows."""

Interval = tuple[int, int]
"""Rows [start, stop) of one file."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of the source, at one version.

    name     relative to the source's root, posix; the `_source` of its rows.
    size     bytes.
    version  size and modification time in nanoseconds, "size-mtime_ns".
    path     where it is: an absolute path, or a path inside the file system of `home`.
    home     the URI of its file system, empty for this machine. Never shown: it may hold secrets.
    note     what a table says of the file and reading it needs. Never shown, for the same reason.
    """

    name: str
    size: int
    version: str
    path: str = field(compare=False)
    home: str = field(default="", compare=False, repr=False)
    note: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Span:
    """Rows [start, stop) of a file that has `of` rows at this version.

    `mark` is (row, byte offset) at or before `start`, from which a file of lines is read on.
    `bytes` estimates what the rows weigh when read.
    """

    file: SourceFile
    start: int
    stop: int
    of: int
    bytes: int = field(compare=False)
    mark: Interval | None = field(default=None, compare=False)

    @property
    def rows(self) -> int:
        """How many rows the span has."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Unit:
    """What one read task reads, one worker answers and one part file commits."""

    spans: tuple[Span, ...]

    @property
    def id(self) -> str:
        """A stable name, 20 hexadecimal digits, that shows nothing of the input's names."""
        said = [[s.file.name, s.file.version, s.start, s.stop] for s in self.spans]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:20]

    @property
    def rows(self) -> int:
        """How many rows the unit has."""
        return sum(span.rows for span in self.spans)

    @property
    def bytes(self) -> int:
        """About how many bytes its rows weigh."""
        return sum(span.bytes for span in self.spans)


@dataclass(frozen=True, slots=True)
class Extent:
    """What opening a file tells.

    rows     how many rows it has.
    bytes    about what they weigh together.
    marks    (row, byte offset) pairs, ascending, from which a file of lines can be read.
    borders  first rows of the file's own groups, ascending; good places to cut.
    """

    file: SourceFile
    rows: int
    bytes: int
    marks: tuple[Interval, ...] = ()
    borders: tuple[int, ...] = ()

    def span(self, start: int, stop: int) -> Span:
        """Return rows [start, stop) of this file."""
        place = bisect.bisect_right(self.marks, start, key=lambda mark: mark[0])
        mark = self.marks[place - 1] if place else None
        weight = self.bytes * (stop - start) // max(self.rows, 1)
        return Span(self.file, start, stop, self.rows, weight, mark)


Piece = tuple[Extent, int, int]
"""Rows [start, stop) of an opened file that wait to be cut."""


def remaining(rows: int, answered: Iterable[Interval]) -> list[Interval]:
    """Return what of [0, rows) no answered interval covers, ascending and without touching pairs.

    Answered intervals may overlap, touch, be empty, and come in any order.
    """
    gaps, at = [], 0
    for start, stop in sorted(interval for interval in answered if interval[0] < interval[1]):
        if min(start, rows) > at:
            gaps.append((at, min(start, rows)))
        at = max(at, stop)
    return [*gaps, (at, rows)] if at < rows else gaps


def pieces(extent: Extent, answered: Iterable[Interval] = ()) -> Iterator[Piece]:
    """Yield what is left to answer of one file; of a file without rows, that it has none."""
    if not extent.rows:
        yield extent, 0, 0
    for start, stop in remaining(extent.rows, answered):
        yield extent, start, stop


class Cutter:
    """Cuts the waiting rows into units from the front, one at a time.

    The next unit's size may differ from the last one's, because it follows measured time. Pieces
    are taken lazily: a file is opened when the cutter gets to it. Small files join, big ones are
    cut; `most_bytes` bounds a unit's estimate unless one row alone is larger.
    """

    def __init__(
        self, waiting: Iterable[Piece], most_bytes: int, most_files: int = FILES_PER_UNIT
    ) -> None:
        self._waiting = iter(waiting)
        self._front: Piece | None = None
        self._most_bytes = most_bytes
        self._most_files = most_files

    def next(self, rows: int) -> Unit | None:
        """Return the next unit, of at most `rows` rows (at least one), or None at the end."""
        spans: list[Span] = []
        room, weight = max(rows, 1), self._most_bytes
        while room and len(spans) < self._most_files and (span := self._take(room, weight, spans)):
            spans.append(span)
            room -= span.rows
            weight -= span.bytes
            if self._front:
                break
        return Unit(tuple(spans)) if spans else None

    def _take(self, room: int, weight: int, spans: list[Span]) -> Span | None:
        """Cut one span off the front: None at the end, or when the unit has no room for a row."""
        self._front = self._front or next(self._waiting, None)
        if self._front is None:
            return None
        extent, start, stop = self._front
        stop_here = min(stop, start + min(room, _fitting(extent, weight, first=not spans)))
        if stop_here < stop:
            stop_here = _snapped(extent, start, stop_here)
        if stop_here == start < stop:
            return None
        self._front = (extent, stop_here, stop) if stop_here < stop else None
        return extent.span(start, stop_here)


def _fitting(extent: Extent, weight: int, first: bool) -> int:
    """Return how many of the file's rows weigh at most `weight`; at least one in a new unit."""
    fitting = max(weight, 0) * extent.rows // max(extent.bytes, 1)
    return max(fitting, 1) if first else fitting


def _snapped(extent: Extent, start: int, stop: int) -> int:
    """Move the cut back to the last border that keeps most of its rows."""
    place = bisect.bisect_right(extent.borders, stop)
    border = extent.borders[place - 1] if place else 0
    return border if border - start >= SNAP * (stop - start) else stop
