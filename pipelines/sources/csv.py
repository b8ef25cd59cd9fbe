"""CSV with a header. Quoted newlines belong to their row; blank lines are no rows."""

import csv
import io
import itertools
import re
from collections.abc import Sequence
from typing import ClassVar, Literal

import pyarrow as pa
from pyarrow import csv as arrow_csv
from pydantic import Field

from actors.errors import SourceDrifted, SourceFailed, UsageError, nearest
from pipelines.sources.base import Reject, answer, failed
from pipelines.sources.columns import missing_column, offered, parse_types, settled
from pipelines.sources.lines import Layout, ends, first_rows, index, read_rows
from pipelines.sources.typed import SAMPLE_ROWS, TypedLines
from pipelines.sources.widening import fitted
from pipelines.units import Extent, SourceFile, Span

DELIMITER = r"\A[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x7f]\z"
"""One character of ASCII: no line break, no quote, no NUL."""


class Csv(TypedLines):
    """Rows from CSV. An empty field is null in a column of numbers, and empty text in text."""

    endings: ClassVar[tuple[str, ...]] = (".csv", ".tsv")

    kind: Literal["csv"] = "csv"
    delimiter: str | None = Field(
        default=None,
        pattern=DELIMITER,
        description="Character between fields: a comma by default, a tab in .tsv files.",
    )

    def columns_of(self, files: Sequence[SourceFile]) -> pa.Schema:
        """Infer the types from the first file that has a row, `columns` aside."""
        for file in files:
            names, rows = self._sample(file)
            if rows or file is files[-1]:
                return offered(self._inferred(file, names, rows))
        raise UsageError("the source has no file to infer columns from")

    def extent(self, file: SourceFile, columns: pa.Schema | None = None) -> Extent:
        """Count the rows; check that the header has `columns`."""
        try:
            extent = index(file, self._layout(file))
        except OSError as error:
            raise failed(file, error) from error
        if columns is not None and extent.rows:
            self._check(file, self._header(file), columns)
        return extent

    def read_span(self, span: Span, columns: pa.Schema) -> pa.Table:
        """Read a slice; a row that does not parse alone is a reject."""
        names = self._header(span.file)
        self._check(span.file, names, columns)
        there = pa.schema([field for field in columns if field.name in names])
        lines = read_rows(span, self._layout(span.file), self.max_bytes)
        parser = _Parser(names, there, self._delimiter(span.file))
        rejects = self._cut_wrong(span, lines)
        tables = [there.empty_table()]
        for place, stop in _runs(len(lines), sorted(rejects)):
            parser.parse([line or b"" for line in lines[place:stop]], place, tables, rejects)
        return answer(span, columns, fitted(pa.concat_tables(tables), columns), rejects)

    def _cut_wrong(self, span: Span, lines: list[bytes | None]) -> dict[int, Reject]:
        """Reject rows that are too long, and a last row whose quote is never closed."""
        text = f"the row is longer than max_bytes ({self.max_bytes}); is a quote not closed?"
        found = {
            place: Reject("row_too_large", text) for place, line in enumerate(lines) if line is None
        }
        last = lines[-1]
        if span.stop == span.of and last is not None and not ends(last, self._layout(span.file)):
            found[len(lines) - 1] = Reject("bad_csv", "a quote is opened and never closed")
        return found

    def _delimiter(self, file: SourceFile) -> str:
        return self.delimiter or ("\t" if file.name.lower().endswith(".tsv") else ",")

    def _layout(self, file: SourceFile) -> Layout:
        return Layout(b"\r", header=True, quote=ord('"'), delimiter=ord(self._delimiter(file)))

    def _header(self, file: SourceFile) -> list[str]:
        return self._names(file, first_rows(file, self._layout(file), self.max_bytes, 1))

    def _sample(self, file: SourceFile) -> tuple[list[str], list[bytes]]:
        try:
            first = first_rows(file, self._layout(file), self.max_bytes, 1 + SAMPLE_ROWS)
        except OSError as error:
            raise failed(file, error) from error
        return self._names(file, first[:1]), [line for line in first[1:] if line is not None]

    def _names(self, file: SourceFile, header: list[bytes | None]) -> list[str]:
        """Parse the header; a file with no row at all has no names."""
        if not header:
            return []
        try:
            text = (header[0] or b"").decode()
        except UnicodeDecodeError as error:
            raise SourceFailed(f"the header of source file {file.name!r} is not UTF-8") from error
        names = next(csv.reader(io.StringIO(text, ""), delimiter=self._delimiter(file)), [])
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise SourceFailed(f"the header of source file {file.name!r} has {twice!r} twice")
        return names

    def _check(self, file: SourceFile, names: list[str], columns: pa.Schema) -> None:
        for field in columns:
            if field.name not in names and self.schema_rule == "strict":
                raise SourceDrifted(missing_column(file, field, names))

    def _inferred(self, file: SourceFile, names: list[str], rows: list[bytes]) -> pa.Schema:
        given = parse_types(self.columns)
        for name in given.names:
            if name not in names:
                raise UsageError(
                    f"columns names {name!r}, which the header of {file.name!r} does not have"
                    f"{nearest(name, names)}\n  columns there: {', '.join(names)}"
                )
        found = _Parser(names, given, self._delimiter(file)).infer(rows)
        return pa.schema([(field.name, _text(settled(field.type))) for field in found])


class _Parser:
    """Parses rows of one file with Arrow; halves what fails until the bad row stands alone."""

    def __init__(self, names: list[str], columns: pa.Schema, delimiter: str) -> None:
        self._names = names
        self._columns = columns
        self._delimiter = delimiter

    def infer(self, lines: list[bytes]) -> pa.Schema:
        """Return the types of all columns; rows with too few or many fields do not count."""
        if not self._names:
            return pa.schema([])
        types = {field.name: field.type for field in self._columns}
        try:
            return self._read(lines, arrow_csv.ConvertOptions(column_types=types), "skip").schema
        except pa.ArrowInvalid:
            return pa.schema([(name, types.get(name, pa.string())) for name in self._names])

    def parse(
        self, lines: list[bytes], place: int, tables: list[pa.Table], rejects: dict[int, Reject]
    ) -> None:
        """Add the good rows to `tables`, in order, and the others to `rejects`."""
        try:
            table = self._read(lines, self._typed())
        except pa.ArrowInvalid as error:
            table, why = None, self._named(str(error))
        else:
            why = ""
        if table is not None and table.num_rows == len(lines):
            tables.append(table.cast(self._columns))
        elif len(lines) == 1:
            rejects[place] = self._reject(lines[0], why)
        else:
            half = len(lines) // 2
            self.parse(lines[:half], place, tables, rejects)
            self.parse(lines[half:], place + half, tables, rejects)

    def _reject(self, line: bytes, why: str) -> Reject:
        """Name the reason that a row alone does not parse."""
        try:
            line.decode()
        except UnicodeDecodeError as error:
            return Reject("bad_encoding", f"the row is not UTF-8: {error}")
        if "conversion error" in why:
            return Reject("wrong_type", why)
        return Reject("bad_csv", f"the line is not one row of {len(self._names)} fields")

    def _named(self, message: str) -> str:
        """Put the column's name for its number."""
        said = re.match(r"In CSV column #(\d+): (?:Row #\d+: )?(.*)", message, re.DOTALL)
        return f"column {self._names[int(said[1])]!r}: {said[2]}" if said else message

    def _typed(self) -> arrow_csv.ConvertOptions:
        types = {field.name: field.type for field in self._columns}
        return arrow_csv.ConvertOptions(
            column_types=types, include_columns=list(types) or self._names[:1]
        )

    def _read(
        self,
        lines: list[bytes],
        options: arrow_csv.ConvertOptions,
        invalid: Literal["skip", "error"] = "error",
    ) -> pa.Table:
        data = b"\n".join(lines) + b"\n"
        read = arrow_csv.ReadOptions(
            use_threads=False, column_names=self._names, block_size=len(data) + 1
        )
        parse = arrow_csv.ParseOptions(
            delimiter=self._delimiter,
            newlines_in_values=True,
            invalid_row_handler=lambda row: invalid,
        )
        return arrow_csv.read_csv(pa.BufferReader(data), read, parse, options)


def _text(found: pa.DataType) -> pa.DataType:
    """Arrow infers bytes where text does not decode; the rows that do not are rejects instead."""
    return pa.string() if pa.types.is_binary(found) else found


def _runs(count: int, without: list[int]) -> list[tuple[int, int]]:
    """Return the runs [start, stop) of places below `count` that leave some out."""
    edges = [-1, *without, count]
    return [(a + 1, b) for a, b in itertools.pairwise(edges) if a + 1 < b]
