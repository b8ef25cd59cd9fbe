"""Ranges of a key: what a table in a database has for files.

A range (low, high] is named by its bounds, which never move: rows that come later get a range of
their own, after the last one or in a gap that nobody has answered.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote

EMPTY = '""'
"""Stands for empty text in a name; quoted text never holds a quote sign."""


class Range(NamedTuple):
    """Values above `low` up to `high`, as text; None: no bound."""

    low: str | None
    high: str | None

    def name(self, prefix: str) -> str:
        """Return the name of the range: `prefix`, then its bounds."""
        return f"{prefix}={_written(self.low)}..{_written(self.high)}"


def ranges_of(names: Iterable[str], prefix: str) -> list[Range]:
    """Return the ranges that these names say."""
    return [_read(name.removeprefix(f"{prefix}=")) for name in names if name.startswith(prefix)]


def gaps(ranges: Sequence[Range]) -> Iterator[Range]:
    """Yield what lies before, between and after ranges that are in order."""
    low: str | None = None
    for found in ranges:
        if found.low != low:
            yield Range(low, found.low)
        low = found.high
    yield Range(low, None)


def cut(gap: Range, borders: Sequence[str]) -> list[Range]:
    """Cut a gap at borders, in order; the last range ends with the gap, if that has an end."""
    stops = list(borders)
    if gap.high is not None and stops:
        stops[-1] = gap.high
    lows = [gap.low, *stops]
    return [Range(low, high) for low, high in zip(lows, stops, strict=False)]


def _written(bound: str | None) -> str:
    if bound is None:
        return ""
    return quote(bound, safe=" :+-").replace(".", "%2E") if bound else EMPTY


def _read(said: str) -> Range:
    low, _, high = said.partition("..")
    return Range(_bound(low), _bound(high))


def _bound(said: str) -> str | None:
    if said == EMPTY:
        return ""
    return unquote(said) or None
