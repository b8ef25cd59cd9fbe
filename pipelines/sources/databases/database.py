"""What a SQL source asks of a database; SQLite and PostgreSQL answer, each in a file of its own."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from pipelines.sources.databases.ranges import Range

FETCHED = 1000
"""Rows that come from the server at a time: a few megabytes of ordinary rows."""


DIGITS = 16
"""Hexadecimal digits of a range's digest: 64 bits tell a changed range from an unchanged one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A table and the columns that name its rows: `key`, and the cursor if there is one."""

    table: str
    key: str
    cursor: str | None

    @property
    def order(self) -> str:
        """The column that ranges are cut over."""
        return self.cursor or self.key


class Print(NamedTuple):
    """What a range holds: how many rows, and a digest of their keys (and cursors) in order."""

    rows: int
    digest: str


class Database(Protocol):
    """One table of a database, seen at one moment from when it is opened until it is closed."""

    def columns(self) -> pa.Schema:
        """Return the table's columns. Raise UsageError when there is no such table."""

    def check(self) -> None:
        """Raise UsageError when key or cursor is missing, null, not unique or of no use."""

    def ceiling(self, lag: float) -> str | None:
        """Return the greatest value of the order that is `lag` old: seconds before now, or that
        much below the greatest; None when there is no row. Raise UsageError where that means
        nothing."""

    def sorted(self, ranges: Sequence[Range]) -> list[Range]:
        """Put ranges in the order of their bounds."""

    def borders(self, gap: Range, rows: int, ceiling: str | None) -> list[str]:
        """Return every `rows`-th value of the order in the gap, up to `ceiling`, and the last."""

    def print(self, place: Range) -> Print:
        """Tell what a range holds."""

    def weight(self, place: Range, names: Sequence[str]) -> int:
        """Return about how many bytes these columns have in a range."""

    def rows(
        self, place: Range, start: int, stop: int, names: Sequence[str]
    ) -> Iterator[Sequence[Any]]:
        """Yield rows [start, stop) of a range, in order, from the server a few at a time."""


Opening = AbstractContextManager[Database]
"""A database that is open inside `with`. Entering raises UsageError when it cannot be reached."""


def quoted(name: str) -> str:
    """Return a name as SQL has it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'
