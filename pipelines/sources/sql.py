"""SQL: a table of a database by ranges of a key or a cursor, so that new rows are new work.

What a range holds is told by the number of its rows and a digest of their keys; rows are only read
from a moment at which that is as it was planned, so places in a range never shift under a run.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from actors.errors import SourceFailed, UsageError, nearest
from pipelines.sources.base import Answered, Changed, Source, answer
from pipelines.sources.columns import agree, offered
from pipelines.sources.databases.database import Asked, Database, Print
from pipelines.sources.databases.ranges import Range, cut, gaps, ranges_of
from pipelines.sources.databases.sqlite import sqlite
from pipelines.sources.databases.values import table_of
from pipelines.sources.listing import shown
from pipelines.sources.tables import note_of
from pipelines.units import Extent, SourceFile, Span

_SQLITE = re.compile(r"sqlite:///(.+)\Z")
_POSTGRES = re.compile(r"postgres(ql)?://")


class Sql(Source):
    """Rows of a table or view in SQLite or PostgreSQL; a row's file is its range of keys."""

    where: ClassVar[frozenset[str]] = frozenset({"url", "range_rows", "lag"})
    rewrites: ClassVar[bool] = True

    kind: Literal["sql"] = "sql"
    url: str = Field(
        repr=False,
        description="sqlite:///FILE or postgresql://USER@HOST/DATABASE; the password from libpq's "
        "own places: ~/.pgpass, PGPASSFILE, ?passfile=FILE, ?service=NAME.",
    )
    table: str = Field(min_length=1, description="Table or view; schema.table in PostgreSQL.")
    key: str = Field(min_length=1, description="Column that is unique and never null.")
    cursor: str | None = Field(
        default=None,
        description="Column that grows with each new or changed row, never null: a time or a "
        "number. Ranges are then cut over it; left out, over the key.",
    )
    lag: float = Field(
        default=0.0,
        ge=0,
        description="How far ranges stay behind: seconds before now for times, that much below the "
        "greatest for numbers.",
    )
    range_rows: int = Field(
        default=10_000, ge=1, description="About how many rows a new range has."
    )

    def files(self, base: Path, answered: Answered = dict) -> list[SourceFile]:
        """List the ranges: those that `answered` has, and new ones for the rows outside them.

        Raise UsageError when the database cannot be reached, or the key is none.
        """
        url = _resolved(self.url, base)
        known = ranges_of(answered(), self._prefix)
        with self._open(url) as database:
            self._check_columns(database.columns())
            database.check()
            new = self._new(database, database.sorted(known))
            found = [(place, database.print(place)) for place in (*known, *new)]
        files = [self._file(url, place, held) for place, held in found]
        if not files:
            raise UsageError(f"the table {self.table!r} has no rows to read")
        return sorted(files, key=lambda file: file.name)

    def check(self, file: SourceFile) -> None:
        """Nothing: a range is checked in the same look at the table in which it is read."""

    def columns_of(self, files: Sequence[SourceFile]) -> pa.Schema:
        """Return the table's columns."""
        with self._open(note_of(files[0])["url"]) as database:
            return offered(database.columns())

    def extent(self, file: SourceFile, columns: pa.Schema | None = None) -> Extent:
        """Return the rows that were counted; what they weigh is asked for."""
        with _failing(file), self._open(note_of(file)["url"]) as database:
            asked = columns or pa.schema([])
            agree(file, offered(database.columns()), asked)
            weight = database.weight(_range(file, self._prefix), asked.names)
        return Extent(file, file.size, weight)

    def read_span(self, span: Span, columns: pa.Schema) -> pa.Table:
        """Read a slice of a range that still holds what was planned."""
        place = _range(span.file, self._prefix)
        with _failing(span.file), self._open(note_of(span.file)["url"]) as database:
            if _version(database.print(place)) != span.file.version:
                raise Changed("changed")
            rows = list(database.rows(place, span.start, span.stop, columns.names))
        good, rejects = table_of(rows, columns)
        return answer(span, columns, good, rejects)

    @property
    def _prefix(self) -> str:
        return f"{self.table}/{self.cursor or self.key}"

    def _open(self, url: str) -> Any:
        asked = Asked(self.table, self.key, self.cursor)
        if found := _SQLITE.match(url):
            return sqlite(found[1], asked)
        from pipelines.sources.databases.postgres import postgres  # its package is an extra

        return postgres(url, asked)

    def _check_columns(self, columns: pa.Schema) -> None:
        """Refuse a key or cursor that is no column."""
        for what, name in (("key", self.key), ("cursor", self.cursor)):
            if name is not None and name not in columns.names:
                raise UsageError(
                    f"table {self.table!r} has no column {name!r}, the {what}"
                    f"{nearest(name, columns.names)}\n  columns there: {', '.join(columns.names)}"
                )

    def _new(self, database: Database, known: Sequence[Range]) -> list[Range]:
        """Cut ranges for the rows that no known range has."""
        ceiling = database.ceiling(self.lag) if self.lag else None
        borders: Callable[[Range], list[str]] = lambda gap: database.borders(  # noqa: E731
            gap, self.range_rows, ceiling if gap.high is None else None
        )
        return [place for gap in gaps(known) for place in cut(gap, borders(gap))]

    def _file(self, url: str, place: Range, held: Print) -> SourceFile:
        path = found[1] if (found := _SQLITE.match(url)) else ""
        note = json.dumps({"url": url})
        return SourceFile(place.name(self._prefix), held.rows, _version(held), path, note=note)


def _range(file: SourceFile, prefix: str) -> Range:
    (place,) = ranges_of([file.name], prefix)
    return place


def _version(held: Print) -> str:
    return f"{held.rows}-{held.digest}"


def _resolved(url: str, base: Path) -> str:
    """Return the URL with a whole path. Raise UsageError for a database that is not supported."""
    if found := _SQLITE.match(url):
        return f"sqlite:///{(base / found[1]).absolute()}"
    if _POSTGRES.match(url):
        return url
    raise UsageError(
        f"url {shown(url)!r} names no database that is read here\n"
        "  such as:  sqlite:///shop.db (from the pipeline file on), sqlite:////data/shop.db, "
        "postgresql://user@host/database"
    )


@contextmanager
def _failing(file: SourceFile) -> Iterator[None]:
    """Let what is wrong with the database be what is wrong with a source file."""
    try:
        yield
    except UsageError as error:
        raise SourceFailed(f"source file {file.name!r} cannot be read: {error}") from error
