"""JSON Lines: one object per line. Blank lines are no rows; rows are counted without them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import pyarrow as pa

from actors.errors import SourceDrifted, UsageError
from pipelines.sources.base import Reject, answer, failed
from pipelines.sources.columns import missing_column, offered, parse_types, settled
from pipelines.sources.lines import Layout, first_rows, index, read_rows
from pipelines.sources.typed import SAMPLE_ROWS, TypedLines
from pipelines.sources.values import inferred, typed_columns
from pipelines.units import Extent, SourceFile, Span

LAYOUT = Layout(blank=b" \t\r")


class Jsonl(TypedLines):
    """Rows from JSON Lines. Text stays text; dates and decimals only where `columns` says so."""

    endings: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")

    kind: Literal["jsonl"] = "jsonl"

    def columns_of(self, files: Sequence[SourceFile]) -> pa.Schema:
        """Infer the columns from the first file that has a row, `columns` aside."""
        given = parse_types(self.columns)
        rows = next(filter(None, map(self._sample, files)), [])
        if not rows and not given:
            raise UsageError(
                f"no file of the source has a row to infer columns from ({len(files)} looked at)\n"
                f"  if rows come later, say in the pipeline file:  columns: {{text: string}}"
            )
        names = dict.fromkeys(name for row in rows for name in row)
        types = {n: settled(inferred([row.get(n) for row in rows])) for n in names}
        types |= {field.name: field.type for field in given}
        return offered(pa.schema(list(types.items())))

    def extent(self, file: SourceFile, columns: pa.Schema | None = None) -> Extent:
        """Count the rows; check that some of the first rows have `columns`.

        A single row may lack any of them, and all rows what the option `columns` names.
        """
        try:
            extent = index(file, LAYOUT)
        except OSError as error:
            raise failed(file, error) from error
        if columns is not None and self.schema_rule == "strict":
            self._check(file, columns)
        return extent

    def read_span(self, span: Span, columns: pa.Schema) -> pa.Table:
        """Read a slice; a key that a row lacks is null."""
        rejects: dict[int, Reject] = {}
        rows: dict[int, dict[str, Any]] = {}
        for place, line in enumerate(read_rows(span, LAYOUT, self.max_bytes)):
            row = self._parse(line)
            if isinstance(row, Reject):
                rejects[place] = row
            else:
                rows[place] = row
        arrays, misfits = typed_columns(list(rows.values()), columns)
        places = list(rows)
        rejects |= {places[place]: reject for place, reject in misfits.items()}
        return answer(span, columns, pa.table(arrays, schema=columns), rejects)

    def _check(self, file: SourceFile, columns: pa.Schema) -> None:
        rows = self._sample(file)
        names = dict.fromkeys(name for row in rows for name in row)
        for field in columns if rows else ():
            if field.name not in names and field.name not in self.columns:
                raise SourceDrifted(missing_column(file, field, list(names)))

    def _sample(self, file: SourceFile) -> list[Mapping[str, Any]]:
        try:
            lines = first_rows(file, LAYOUT, self.max_bytes, SAMPLE_ROWS)
        except OSError as error:
            raise failed(file, error) from error
        return [row for row in map(self._parse, lines) if not isinstance(row, Reject)]

    def _parse(self, line: bytes | None) -> dict[str, Any] | Reject:
        """Parse one line into an object, or say why it is none."""
        if line is None:
            return Reject("row_too_large", f"the line is longer than max_bytes ({self.max_bytes})")
        try:
            row = json.loads(line.decode())
        except UnicodeDecodeError as error:
            return Reject("bad_encoding", f"the line is not UTF-8: {error}")
        except (ValueError, RecursionError) as error:
            return Reject("bad_json", f"the line is not JSON: {error}")
        if not isinstance(row, dict):
            return Reject("bad_json", f"the line is no JSON object but a {type(row).__name__}")
        return row
