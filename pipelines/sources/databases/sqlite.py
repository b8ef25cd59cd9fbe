"""A table of a SQLite file, opened for reading only."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from actors.errors import UsageError, nearest
from pipelines.sources.databases.database import DIGITS, Asked, Database, Print, quoted
from pipelines.sources.databases.ranges import Range

WAIT = 30.0
"""Seconds to wait for a writer that holds the file."""

KINDS = (
    (("INT",), pa.int64()),
    (("CHAR", "CLOB", "TEXT"), pa.string()),
    (("BLOB",), pa.binary()),
    (("REAL", "FLOA", "DOUB"), pa.float64()),
    (("BOOL",), pa.bool_()),
)
"""What declared types begin or go on with (https://sqlite.org/datatype3.html#affname), in that
order; columns of any other type are read as text."""


@contextmanager
def sqlite(path: str, asked: Asked) -> Iterator[Database]:
    """Open a file. Raise UsageError when it is not there or no database."""
    if not Path(path).is_file():
        folder = Path(path).parent
        names = sorted(p.name for p in folder.glob("*")) if folder.is_dir() else []
        raise UsageError(
            f"the database {path} is not there{nearest(Path(path).name, names)}\n"
            f"  {folder} has: {', '.join(names[:10]) or 'nothing'}"
        )
    uri = Path(path).absolute().as_uri() + "?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=WAIT, isolation_level=None)) as there:
            there.text_factory = lambda found: found.decode(errors="surrogateescape")
            there.execute("BEGIN")
            yield Sqlite(there, asked)
    except sqlite3.Error as error:
        raise UsageError(f"the database {path} cannot be read: {error}") from error


class Sqlite:
    """One table of an open file."""

    def __init__(self, there: sqlite3.Connection, asked: Asked) -> None:
        self._there = there
        self._asked = asked
        self._order = f"{quoted(asked.order)} COLLATE BINARY"
        self._table = quoted(asked.table)

    def columns(self) -> pa.Schema:
        """Return the columns, by their declared types."""
        sql = "SELECT name, type FROM pragma_table_xinfo(?) WHERE hidden IN (0, 2, 3)"
        found = self._there.execute(sql, [self._asked.table]).fetchall()
        if not found:
            raise UsageError(self._no_table())
        return pa.schema([(name, _kind(declared)) for name, declared in found])

    def _no_table(self) -> str:
        sql = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
        names = sorted(name for (name,) in self._there.execute(sql))
        return (
            f"the database has no table {self._asked.table!r}{nearest(self._asked.table, names)}\n"
            f"  tables there: {', '.join(names[:10]) or 'none'}"
        )

    def check(self) -> None:
        """Refuse a key that is null or not unique, and an order of mixed or other types."""
        for name in dict.fromkeys([self._asked.key, self._asked.order]):
            if self._first(f"SELECT 1 FROM {self._table} WHERE {quoted(name)} IS NULL LIMIT 1"):
                raise UsageError(
                    f"column {name!r} of table {self._asked.table!r} is null in some rows, which "
                    "would belong nowhere\n  name another column"
                )
        key = quoted(self._asked.key)
        twice = f"SELECT {key} FROM {self._table} GROUP BY 1 HAVING count(*) > 1 LIMIT 1"
        if not self._is_unique() and (found := self._first(twice)):
            raise UsageError(not_unique(self._asked, repr(found[0])))
        kinds = [kind for (kind,) in self._there.execute(
            f"SELECT DISTINCT typeof({self._order}) FROM {self._table} LIMIT 3"
        )]  # fmt: skip
        if len(kinds) > 1 or not set(kinds) <= {"integer", "real", "text"}:
            raise UsageError(
                f"column {self._asked.order!r} of table {self._asked.table!r} holds "
                f"{' and '.join(sorted(kinds))}; ranges are cut over numbers, or over text"
            )

    def _is_unique(self) -> bool:
        """Say whether the schema says that the key is unique."""
        sql = "SELECT name FROM pragma_table_xinfo(?) WHERE pk > 0"
        if [name for (name,) in self._there.execute(sql, [self._asked.table])] == [self._asked.key]:
            return True
        sql = 'SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial'
        indexes = self._there.execute(sql, [self._asked.table]).fetchall()
        inside = "SELECT name FROM pragma_index_info(?)"
        return [(self._asked.key,)] in [
            self._there.execute(inside, [name]).fetchall() for (name,) in indexes
        ]

    def ceiling(self, lag: float) -> str | None:
        """Return a value `lag` below the greatest; times are text here, of any shape."""
        found = self._first(f"SELECT max({self._order}) FROM {self._table}")
        if found is None or found[0] is None:
            return None
        if isinstance(found[0], str):
            raise UsageError(
                f"lag needs a number or a time, and {self._asked.order!r} is text in SQLite"
            )
        return str(found[0] - (int(lag) if isinstance(found[0], int) else lag))

    def sorted(self, ranges: Sequence[Range]) -> list[Range]:
        """Put ranges in the order of their bounds; the first one may have none below."""
        return sorted(ranges, key=lambda place: self._value(place.high or ""))

    def borders(self, gap: Range, rows: int, ceiling: str | None) -> list[str]:
        """Return every `rows`-th value in the gap, and the last."""
        where, values = self._where(gap)
        if ceiling is not None:
            where, values = f"{where} AND {self._order} <= ?", [*values, self._value(ceiling)]
        counted = f"row_number() OVER (ORDER BY {self._order}) AS n"
        inside = f"SELECT {self._order} AS v, {counted} FROM {self._table} WHERE {where}"
        sql = (
            f"SELECT v FROM ({inside}) WHERE n % {int(rows)} = 0 UNION "
            f"SELECT max({self._order}) FROM {self._table} WHERE {where} ORDER BY 1"
        )
        found = self._there.execute(sql, [*values, *values])
        return [str(value) for (value,) in found if value is not None]

    def print(self, place: Range) -> Print:
        """Count the rows and digest their keys."""
        where, values = self._where(place)
        names = list(dict.fromkeys([self._asked.key, self._asked.order]))
        sql = (
            f"SELECT {', '.join(map(quoted, names))} FROM {self._table} WHERE {where} "
            f"ORDER BY {self._order}, {quoted(self._asked.key)} COLLATE BINARY"
        )
        found = [str(value) for row in self._there.execute(sql, values) for value in row]
        said = "".join(f"{len(value)}:{value}" for value in found).encode(errors="surrogateescape")
        digest = hashlib.md5(said, usedforsecurity=False).hexdigest()[:DIGITS]
        return Print(len(found) // len(names), digest)

    def weight(self, place: Range, names: Sequence[str]) -> int:
        """Add up what the values have in bytes, and eight for each."""
        where, values = self._where(place)
        sizes = [f"coalesce(length(CAST({quoted(name)} AS BLOB)), 0) + 8" for name in names]
        sql = f"SELECT sum({' + '.join(['8', *sizes])}) FROM {self._table} WHERE {where}"
        return int(self._there.execute(sql, values).fetchone()[0] or 0)

    def rows(
        self, place: Range, start: int, stop: int, names: Sequence[str]
    ) -> Iterator[Sequence[Any]]:
        """Yield rows; columns that are read as text are text."""
        where, values = self._where(place)
        columns = self.columns()
        kinds = [columns.field(name).type for name in names]
        wanted = ", ".join(map(_selected, names, kinds)) or "1"
        sql = (
            f"SELECT {wanted} FROM {self._table} WHERE {where} "
            f"ORDER BY {self._order}, {quoted(self._asked.key)} COLLATE BINARY LIMIT ? OFFSET ?"
        )
        for row in self._there.execute(sql, [*values, stop - start, start]):
            yield [_python(value, kind) for value, kind in zip(row, kinds, strict=False)]

    def _first(self, sql: str) -> Any:
        return self._there.execute(sql).fetchone()

    def _where(self, place: Range) -> tuple[str, list[Any]]:
        """Return the condition of a range, and its values."""
        bounds = [(">", place.low), ("<=", place.high)]
        parts = [f"{self._order} {sign} ?" for sign, bound in bounds if bound is not None]
        values = [self._value(bound) for _, bound in bounds if bound is not None]
        return " AND ".join(parts) or "1", values

    def _value(self, bound: str) -> Any:
        """Return a bound as the order has it: a number, or text."""
        return self._as_value(bound)

    @cached_property
    def _as_value(self) -> Callable[[str], Any]:
        found = self._first(f"SELECT typeof({self._order}) FROM {self._table} LIMIT 1")
        return {"integer": int, "real": float}.get(found[0] if found else "text", str)


def not_unique(asked: Asked, value: str) -> str:
    """Say that a key names more than one row."""
    return (
        f"key {asked.key!r} of table {asked.table!r} is not unique: {value} is in more than one "
        "row\n  name a column that is:  key: COLUMN"
    )


def _kind(declared: str) -> pa.DataType:
    upper = declared.upper()
    return next((kind for words, kind in KINDS if any(w in upper for w in words)), pa.string())


def _selected(name: str, kind: pa.DataType) -> str:
    """Return a column as it is selected: numbers in a column that is read as text are written."""
    column = quoted(name)
    if not pa.types.is_string(kind):
        return column
    return (
        f"CASE WHEN typeof({column}) IN ('integer', 'real') THEN {column} || '' ELSE {column} END"
    )


def _python(value: Any, kind: pa.DataType) -> Any:
    """Return a value as its column has it, where SQLite writes it otherwise."""
    if type(value) is not int:
        return value
    if pa.types.is_boolean(kind) and value in (0, 1):
        return bool(value)
    return float(value) if pa.types.is_floating(kind) and float(value) == value else value
