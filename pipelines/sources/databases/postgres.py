"""A table of a PostgreSQL server, read in one transaction that sees one moment of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from actors.errors import UsageError, nearest
from pipelines.sources.databases.database import DIGITS, FETCHED, Asked, Database, Print
from pipelines.sources.databases.ranges import Range
from pipelines.sources.databases.sqlite import not_unique
from pipelines.sources.databases.values import Unreadable
from pipelines.sources.listing import shown
from pipelines.sources.tables import not_installed

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composed

CONNECT_SECONDS = 10
"""How long to wait for a server that does not answer."""

KINDS = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "text": pa.string(),
    "varchar": pa.string(),
    "bpchar": pa.string(),
    "name": pa.string(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
}
"""Types that carry over as they are, and arrays of them; numeric(p, s) is a decimal, and any other
type (uuid, json, numeric without bounds, enumerations, ...) is read as the server writes it."""

TEXTS = ("text", "varchar", "bpchar", "name")
"""Types whose order depends on the server's language, unless it is told."""

NUMBERS = ("int2", "int4", "int8", "numeric")

TIMES = ("timestamp", "timestamptz")

ORDERED = (*TEXTS, *NUMBERS, *TIMES, "uuid", "date")
"""Types that ranges can be cut over: their text says their value in full."""


@contextmanager
def postgres(url: str, asked: Asked) -> Iterator[Database]:
    """Connect to a server. Raise UsageError when it cannot be reached, or answers with an error."""
    try:
        import psycopg
    except ImportError:
        not_installed("postgres", "psycopg")
    settings = "-c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=iso_8601 -c extra_float_digits=1"
    try:
        with _connected(url, settings) as there:
            there.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            there.read_only = True
            _allow_any_time(there)
            yield Postgres(there, asked)
    except (psycopg.Error, UnicodeError) as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(f"the database {shown(url)} cannot be read: {said}") from None


def _connected(url: str, settings: str) -> "Connection[Any]":
    """Connect; what the URL itself says of time limits stands."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    said = conninfo_to_dict(url)
    options = f"{said.get('options') or ''} {settings}".strip()
    limit = said.get("connect_timeout") or CONNECT_SECONDS
    return psycopg.connect(
        url, options=options, connect_timeout=int(limit), application_name="gristmill"
    )


def _allow_any_time(there: "Connection[Any]") -> None:
    """Let times that Python cannot hold (infinity, the year 12000) cost their rows alone."""
    import psycopg
    from psycopg.types import datetime as times

    def careful(loader: type[Any]) -> type[Any]:
        class Careful(loader):  # type: ignore[misc]
            def load(self, data: Any) -> Any:
                try:
                    return super().load(data)
                except psycopg.DataError:
                    return Unreadable(bytes(data).decode())

        return Careful

    there.adapters.register_loader("date", careful(times.DateLoader))
    there.adapters.register_loader("time", careful(times.TimeLoader))
    there.adapters.register_loader("timestamp", careful(times.TimestampLoader))
    there.adapters.register_loader("timestamptz", careful(times.TimestamptzLoader))


class Postgres:
    """One table of a server, within one transaction."""

    def __init__(self, there: "Connection[Any]", asked: Asked) -> None:
        self._there = there
        self._asked = asked

    def columns(self) -> pa.Schema:
        """Return the columns by what the server says of a look at none of the rows."""
        return pa.schema([(name, kind) for name, (kind, _) in self._described.items()])

    @cached_property
    def _described(self) -> dict[str, tuple[pa.DataType, bool]]:
        """Each column's type, and whether its values are read as text."""
        self._check_table()
        found = self._run("SELECT * FROM {table} LIMIT 0")
        return {column.name: self._kind(column) for column in found.description or ()}

    def _kind(self, column: Any) -> tuple[pa.DataType, bool]:
        info = self._there.adapters.types.get(column.type_code)
        name = info.name if info else ""
        if info is not None and name in KINDS:
            is_array = column.type_code == info.array_oid
            return (pa.list_(KINDS[name]) if is_array else KINDS[name]), False
        digits, scale = column.precision, column.scale
        if name == "numeric" and digits and info and column.type_code == info.oid and scale >= 0:
            return (pa.decimal128 if digits <= 38 else pa.decimal256)(digits, scale), False
        return pa.string(), True

    def _check_table(self) -> None:
        """Refuse a table that is not there, with those that are."""
        found = self._one("SELECT to_regclass({name})", name=self._table.as_string(self._there))
        if found is None:
            here = self._run(
                "SELECT CASE WHEN schemaname = 'public' THEN '' ELSE schemaname || '.' END || name "
                "FROM (SELECT schemaname, tablename AS name FROM pg_tables UNION ALL "
                "SELECT schemaname, viewname FROM pg_views) t "
                "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
            )
            names = [name for (name,) in here]
            near = nearest(self._asked.table, names)
            raise UsageError(
                f"the database has no table {self._asked.table!r}{near}\n"
                f"  tables there: {', '.join(names[:10]) or 'none'}"
            )

    def check(self) -> None:
        """Refuse a key that is null or not unique, and an order whose type has no plain order."""
        if self._type not in ORDERED:
            raise UsageError(
                f"column {self._asked.order!r} of table {self._asked.table!r} is {self._type}; "
                f"ranges can be cut over: {', '.join(ORDERED)}"
            )
        for name in dict.fromkeys([self._asked.key, self._asked.order]):
            empty = "SELECT 1 FROM {table} WHERE {column} IS NULL LIMIT 1"
            if self._one(empty, column=self._id(name)):
                raise UsageError(
                    f"column {name!r} of table {self._asked.table!r} is null in some rows, which "
                    "would belong nowhere\n  name another column"
                )
        twice = "SELECT {key}::text FROM {table} GROUP BY {key} HAVING count(*) > 1 LIMIT 1"
        if not self._is_unique() and (found := self._one(twice)) is not None:
            raise UsageError(not_unique(self._asked, repr(found)))

    def _is_unique(self) -> bool:
        """Say whether an index says that the key is unique."""
        sql = (
            "SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid "
            "AND a.attnum = i.indkey[0] WHERE i.indrelid = to_regclass({name}) AND i.indisunique "
            "AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1 AND a.attname = {column}"
        )
        name = self._table.as_string(self._there)
        return self._one(sql, name=name, column=self._asked.key) is not None

    def ceiling(self, lag: float) -> str | None:
        """Return the order's value of `lag` seconds ago, or that much below the greatest."""
        if self._type in TIMES:
            sql = "SELECT ((now() - make_interval(secs => {lag}))::{type})::text"
        elif self._type in NUMBERS:
            sql = "SELECT floor(max({column}) - {lag}::numeric)::{type}::text FROM {table}"
        else:
            raise UsageError(
                f"lag needs a number or a time, and {self._asked.order!r} is {self._type}"
            )
        found: str | None = self._one(sql, lag=lag)
        return found

    def sorted(self, ranges: Sequence[Range]) -> list[Range]:
        """Put ranges in the order of their bounds, which the server knows best."""
        if len(ranges) < 2:
            return list(ranges)
        sql = "SELECT n FROM unnest({highs}::text[]) WITH ORDINALITY AS t(v, n) ORDER BY {cast}"
        kind = self._sql('v::text COLLATE "C"' if self._type in TEXTS else "v::{type}")
        found = self._run(sql, highs=[place.high for place in ranges], cast=kind)
        return [ranges[number - 1] for (number,) in found]

    def borders(self, gap: Range, rows: int, ceiling: str | None) -> list[str]:
        """Return every `rows`-th value in the gap, and the last."""
        where = self._where(gap)
        if ceiling is not None:
            where = self._sql(
                "{where} AND {order} <= {bound}", where=where, bound=self._at(ceiling)
            )
        sql = (
            "SELECT v::text AS said FROM (SELECT v FROM (SELECT {order} AS v, "
            "row_number() OVER (ORDER BY {order}) AS n FROM {table} WHERE {where}) t "
            "WHERE n % {rows} = 0 UNION (SELECT {order} FROM {table} WHERE {where} "
            "ORDER BY {order} DESC LIMIT 1)) u ORDER BY v"
        )
        return [value for (value,) in self._run(sql, where=where, rows=rows)]

    def print(self, place: Range) -> Print:
        """Count the rows and digest their keys."""
        names = dict.fromkeys([self._asked.key, self._asked.order])
        said = [self._sql("length({c}::text) || ':' || {c}::text", c=self._id(n)) for n in names]
        sql = (
            "SELECT count(*), md5(coalesce(string_agg({said}, '' ORDER BY {order}, {key}), '')) "
            "FROM {table} WHERE {where}"
        )
        all_said = self._joined(" || ", said)
        rows, digest = self._run(sql, said=all_said, where=self._where(place)).fetchone()
        return Print(rows, digest[:DIGITS])

    def weight(self, place: Range, names: Sequence[str]) -> int:
        """Add up what the values have in bytes, and eight for each."""
        sizes = [
            self._sql("coalesce(octet_length({c}), 0) + 8", c=self._id(name))
            if self._described[name][0] in (pa.string(), pa.binary()) and not self._as_text(name)
            else self._sql("coalesce(pg_column_size({c}), 0) + 8", c=self._id(name))
            for name in names
        ]
        total = self._joined(" + ", sizes or [self._sql("8")])
        sql = "SELECT coalesce(sum({total}), 0)::bigint FROM {table} WHERE {where}"
        return int(self._one(sql, total=total, where=self._where(place)))

    def rows(
        self, place: Range, start: int, stop: int, names: Sequence[str]
    ) -> Iterator[Sequence[Any]]:
        """Yield rows through a cursor of the server's."""
        wanted = [
            self._sql("{c}::text" if self._as_text(name) else "{c}", c=self._id(name))
            for name in names
        ]
        sql = self._sql(
            "SELECT {wanted} FROM {table} WHERE {where} ORDER BY {order}, {last} "
            "LIMIT {rows} OFFSET {start}",
            wanted=self._joined(", ", wanted or [self._sql("1")]),
            where=self._where(place), last=self._sql("{key}"), rows=stop - start, start=start,
        )  # fmt: skip
        with self._there.cursor(name="gristmill") as cursor:
            cursor.itersize = FETCHED
            cursor.execute(sql)
            for row in cursor:
                yield row[: len(names)]

    def _as_text(self, name: str) -> bool:
        return self._described[name][1]

    def _where(self, place: Range) -> "Composed":
        """Return the condition of a range."""
        bounds = [(">", place.low), ("<=", place.high)]
        parts = [
            self._sql("{order} " + sign + " {bound}", bound=self._at(bound))
            for sign, bound in bounds
            if bound is not None
        ]
        return self._joined(" AND ", parts) if parts else self._sql("true")

    def _at(self, bound: str) -> "Composed":
        """Return a bound in the order's type."""
        kind = '{v}::text COLLATE "C"' if self._type in TEXTS else "{v}::{type}"
        return self._sql(kind, v=bound)

    @cached_property
    def _type(self) -> str:
        """The name of the order's type; another one's where it is of a domain."""
        code = next(
            column.type_code
            for column in self._run("SELECT * FROM {table} LIMIT 0").description or ()
            if column.name == self._asked.order
        )
        info = self._there.adapters.types.get(code)
        return info.name if info is not None and info.oid == code else "of an unknown type"

    @property
    def _order(self) -> "Composed":
        """The order, in bytes for text: the server's own order changes with its libraries."""
        kind = '({column}::text COLLATE "C")' if self._type in TEXTS else "{column}"
        return self._sql(kind)

    @cached_property
    def _table(self) -> Any:
        from psycopg.sql import Identifier

        return Identifier(*self._asked.table.split("."))

    def _joined(self, between: str, parts: "Sequence[Composed]") -> "Composed":
        from psycopg.sql import SQL

        return SQL(between).join(parts)

    def _id(self, name: str) -> Any:
        from psycopg.sql import Identifier

        return Identifier(name)

    def _sql(self, text: str, **values: Any) -> "Composed":
        """Fill names and values into a statement of ours; each is quoted for what it is."""
        from psycopg.sql import SQL, Composable, Literal

        known: dict[str, Any] = {
            "table": self._table,
            "key": self._id(self._asked.key),
            "column": self._id(self._asked.order),
        }
        if "{type}" in text:
            known["type"] = SQL(self._type)  # one of ORDERED
        if "{order}" in text:
            known["order"] = self._order
        given = {
            name: value if isinstance(value, Composable) else Literal(value)
            for name, value in values.items()
        }
        return SQL(text).format(**{**known, **given})

    def _run(self, text: str, **values: Any) -> Any:
        return self._there.execute(self._sql(text, **values))

    def _one(self, text: str, **values: Any) -> Any:
        """Return the first value of the first row, or None."""
        row = self._run(text, **values).fetchone()
        return row[0] if row else None
