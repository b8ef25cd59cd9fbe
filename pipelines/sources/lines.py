"""Files of lines: where rows begin and end, in bounded memory, for files of any size.

A first pass counts the rows and notes a mark about every chunk; reading starts at the mark before
the rows asked for. Both passes cut by the same rules, so a row has one number for good.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from actors.errors import UsageError
from pipelines.sources.base import Changed, open_file
from pipelines.units import Extent, Interval, SourceFile, Span

CHUNK = 4 << 20
"""Bytes read at a time. Measured on a 200 MB file: 1 MiB and 16 MiB are no faster; a span's first
row is at most one chunk behind its mark, which takes about 10 ms to skip."""

PACKED = (".gz", ".bz2", ".zst", ".xz", ".lz4", ".zip")
"""Endings of compressed files, which have no place to read on from."""

BOM = b"\xef\xbb\xbf"

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Layout:
    """How lines become rows.

    blank      a line of only these bytes is no row; empty: every line is a row.
    header     the first row names the columns, and rows are counted after it.
    quote      the byte between whose pairs newlines do not count, or None.
    delimiter  the byte before a field; a quote that opens stands behind it or a newline.
    """

    blank: bytes = b""
    header: bool = False
    quote: int | None = None
    delimiter: int = ord(",")

    @property
    def first(self) -> int:
        """The number of the file's first row: -1 for a header."""
        return -1 if self.header else 0

    def is_blank(self, line: bytes) -> bool:
        """Say whether a line, without its newline, is no row."""
        return bool(self.blank) and not line.strip(self.blank)


class Breaks(Protocol):
    """Finds the newlines that end a row, chunk after chunk."""

    def find(self, chunk: Bytes) -> Places:
        """Return their places in the next chunk of the file."""


class EveryNewline:
    """Every newline ends a row."""

    def find(self, chunk: Bytes) -> Places:
        """Return the places of all newlines."""
        found: Places = np.flatnonzero(chunk == ord("\n"))
        return found


class NewlinesOutsideQuotes:
    """A newline ends a row unless it is quoted, as in CSV.

    A quote opens only at the start of a field; elsewhere in an unquoted field it is a letter, so
    that `5" disk` does not swallow the rows after it. A doubled quote closes and opens again.
    """

    def __init__(self, quote: int, delimiter: int) -> None:
        self._quote = quote
        self._starts = np.zeros(256, bool)
        self._starts[[delimiter, ord("\n"), ord("\r")]] = True
        self._inside = False
        self._last = ord("\n")
        self._last_closed = False

    def find(self, chunk: Bytes) -> Places:
        """Return the places of the newlines that stand outside quotes."""
        newlines = np.flatnonzero(chunk == ord("\n"))
        quotes = np.flatnonzero(chunk == self._quote)
        inside = self._inside
        toggles = self._toggles(chunk, quotes)
        self._remember(chunk, toggles)
        if not len(toggles):
            return newlines[:0] if inside else newlines
        open_before = (np.searchsorted(toggles, newlines) + inside) % 2
        outside: Places = newlines[open_before == 0]
        return outside

    def _toggles(self, chunk: Bytes, quotes: Places) -> Places:
        """Return the quotes that open or close; all of them, in a file without stray quotes."""
        before = np.where(quotes > 0, chunk[quotes - 1], self._last)
        doubled = np.diff(quotes, prepend=-1 if self._last_closed else -2) == 1
        opening = (np.arange(len(quotes)) + self._inside) % 2 == 0
        if np.all(~opening | self._starts[before] | doubled):
            return quotes
        return self._toggles_one_by_one(chunk, quotes)

    def _toggles_one_by_one(self, chunk: Bytes, quotes: Places) -> Places:
        """The same where some quotes are letters, so that each depends on those before it."""
        inside, closed_at = self._inside, -1 if self._last_closed else -2
        found = []
        for place in quotes.tolist():
            before = int(chunk[place - 1]) if place else self._last
            if inside:
                closed_at = place
            elif closed_at != place - 1 and not self._starts[before]:
                continue
            inside = not inside
            found.append(place)
        return np.array(found, np.intp)

    def _remember(self, chunk: Bytes, toggles: Places) -> None:
        """Carry what the next chunk depends on."""
        self._inside = (self._inside + len(toggles)) % 2 == 1
        self._last = int(chunk[-1])
        ends_with_toggle = len(toggles) > 0 and toggles[-1] == len(chunk) - 1
        self._last_closed = bool(ends_with_toggle and not self._inside)


def breaks(layout: Layout) -> Breaks:
    """Return a finder that begins at the start of a row."""
    if layout.quote is None:
        return EveryNewline()
    return NewlinesOutsideQuotes(layout.quote, layout.delimiter)


def refuse_packed(files: Sequence[SourceFile]) -> None:
    """Raise UsageError when a file is compressed: its rows cannot be read from the middle."""
    for file in files:
        if file.name.lower().endswith(PACKED):
            raise UsageError(
                f"source file {file.name!r} is compressed, and compressed lines cannot be read in "
                f"slices; unpack it, or convert it to Parquet"
            )


def index(file: SourceFile, layout: Layout) -> Extent:
    """Count a file's rows and mark where they can be read from. Raise OSError."""
    with open_file(file) as stream:
        offset = _after_bom(stream)
        counter = _Counter(layout)
        while chunk := stream.read(CHUNK):
            counter.take(chunk, offset)
            offset += len(chunk)
    return Extent(file, max(counter.end(), 0), file.size, tuple(counter.marks))


class _Counter:
    """Counts rows chunk by chunk; knows of the unfinished line only whether it is blank."""

    def __init__(self, layout: Layout) -> None:
        self.marks: list[Interval] = []
        self._layout = layout
        self._breaks = breaks(layout)
        self._row = layout.first
        self._open_bytes = 0
        self._open_blank = True

    def take(self, chunk: bytes, offset: int) -> None:
        """Count the lines that end in this chunk, which starts at byte `offset` of the file."""
        ends = self._breaks.find(np.frombuffer(chunk, np.uint8))
        if not len(ends):
            return self._open(chunk)
        first = int(ends[0])
        self._open(chunk[:first])
        self._close()
        if self._row >= 0:
            self.marks.append((self._row, offset + first + 1))
        self._row += len(ends) - 1 - self._blanks(chunk, ends)
        return self._open(chunk[int(ends[-1]) + 1 :])

    def end(self) -> int:
        """Return the number of rows, the last line included when it has no newline."""
        if self._open_bytes:
            self._close()
        return self._row

    def _open(self, part: bytes) -> None:
        self._open_bytes += len(part)
        self._open_blank = self._open_blank and self._layout.is_blank(part)

    def _close(self) -> None:
        self._row += not self._open_blank
        self._open_bytes, self._open_blank = 0, True

    def _blanks(self, chunk: bytes, ends: Places) -> int:
        """Count the blank lines after the first; only lines that begin blank are looked at."""
        if not self._layout.blank or len(ends) < 2:
            return 0
        starts = ends[:-1] + 1
        begins = np.frombuffer(chunk, np.uint8)[starts]
        empty = ends[1:] == starts
        suspects = np.flatnonzero(~empty & np.isin(begins, list(self._layout.blank)))
        blank = (self._layout.is_blank(chunk[starts[i] : ends[i + 1]]) for i in suspects)
        return int(empty.sum()) + sum(blank)


def _after_bom(stream: pa.NativeFile) -> int:
    """Leave the stream after a UTF-8 byte order mark, or at its start; return the place."""
    if stream.read(len(BOM)) == BOM:
        return len(BOM)
    stream.seek(0)
    return 0


def ends(line: bytes, layout: Layout) -> bool:
    """Say whether a newline after this row would end it, so that no quote is left open."""
    closed = np.frombuffer(line + b"\n", np.uint8)
    return bool(len(breaks(layout).find(closed)) == 1)


def read_rows(span: Span, layout: Layout, most_bytes: int) -> list[bytes | None]:
    """Return the span's lines without their newlines; None for one over `most_bytes`.

    Raise OSError, and Changed when the file has fewer rows than it had.
    """
    start = span.mark or (layout.first, 0)
    found = [
        line
        for row, line in _numbered(span.file, start, layout, most_bytes, span.stop)
        if row >= span.start
    ]
    if len(found) != span.rows:
        raise Changed("changed")
    return found


def first_rows(file: SourceFile, layout: Layout, most_bytes: int, count: int) -> list[bytes | None]:
    """Return up to `count` rows from the start, the header first if there is one. Raise OSError."""
    rows = _numbered(file, (layout.first, 0), layout, most_bytes, layout.first + count)
    return [line for _, line in rows]


def _numbered(
    file: SourceFile, start: Interval, layout: Layout, most_bytes: int, stop: int
) -> Iterator[tuple[int, bytes | None]]:
    """Yield (row, line) from a mark up to row `stop`."""
    row, offset = start
    with open_file(file) as stream:
        if offset:
            stream.seek(offset)
        else:
            _after_bom(stream)
        for blank, line in _lines(stream, layout, most_bytes):
            if row == stop:
                return
            if not blank:
                yield row, line
                row += 1


def _lines(
    stream: pa.NativeFile, layout: Layout, most_bytes: int
) -> Iterator[tuple[bool, bytes | None]]:
    """Yield (is blank, line or None when too long) from here to the end of the file."""
    finder, pending = breaks(layout), _Pending(layout, most_bytes)
    while chunk := stream.read(CHUNK):
        at = 0
        for end in finder.find(np.frombuffer(chunk, np.uint8)).tolist():
            pending.add(chunk[at:end])
            yield pending.take()
            at = end + 1
        pending.add(chunk[at:])
    if pending.size:
        yield pending.take()


class _Pending:
    """The line being read: its parts, given up when they grow over the limit."""

    def __init__(self, layout: Layout, most_bytes: int) -> None:
        self.size = 0
        self._layout = layout
        self._most_bytes = most_bytes
        self._parts: list[bytes] = []
        self._blank = True

    def add(self, part: bytes) -> None:
        """Add the next bytes of the line."""
        self.size += len(part)
        self._blank = self._blank and self._layout.is_blank(part)
        if self.size <= self._most_bytes:
            self._parts.append(part)
        else:
            self._parts.clear()

    def take(self) -> tuple[bool, bytes | None]:
        """Return whether the line is blank, and the line; begin the next."""
        line = b"".join(self._parts) if self.size <= self._most_bytes else None
        taken = self._blank, line
        self.size, self._parts, self._blank = 0, [], True
        return taken
