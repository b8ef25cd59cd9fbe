"""What a request brings, as the source's table: the same columns, types and rejects as in a run."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from actors.errors import UsageError, nearest
from pipelines.flow import marked
from pipelines.plan import Plan
from pipelines.sources import AnySource, Text
from pipelines.sources.base import Reject, answer
from pipelines.sources.values import typed_columns
from pipelines.sources.whole import WholeFiles, whole_rows
from pipelines.units import SourceFile, Span

REQUEST = "request"
"""What stands for the file's name in rows that came as JSON."""

Decoded = tuple[dict[str, Any], Reject | None]
"""A row whose bytes are bytes, or why they are none."""


@dataclass(frozen=True)
class Intake:
    """Makes tables of requests. `columns` are those of a row of JSON; `required` must be there.

    `content` names the column that holds a file, where a row of the source is one.
    """

    source: AnySource
    read: pa.Schema
    columns: pa.Schema
    required: frozenset[str]
    content: str | None

    @classmethod
    def of(cls, plan: Plan) -> "Intake":
        """The intake of a plan: what its stages read, and what is kept of the source."""
        source, read = plan.pipeline.source, plan.read
        if isinstance(source, WholeFiles):
            content = source.layout.field(1)
            columns = pa.schema([("path", pa.string()), content])
            return cls(source, read, columns, frozenset([content.name]), content.name)
        needed = {column for step in plan.steps for column in step.inputs.values()}
        content = "text" if isinstance(source, Text) and source.rows == "file" else None
        return cls(source, read, read, frozenset(needed & set(read.names)), content)

    @property
    def takes_files(self) -> bool:
        """Whether a file can be a row."""
        return self.content is not None

    def table_of_rows(self, rows: Sequence[Any]) -> pa.Table:
        """The table of JSON's rows. Raises UsageError for a row that is none of the pipeline's."""
        for place, row in enumerate(rows):
            self._check(place, row)
        decoded = [self._decoded(row) for row in rows]
        if isinstance(self.source, WholeFiles):
            assert self.content is not None
            given = [(row.get("path"), why or row[self.content]) for row, why in decoded]
            return self._of_files(given)
        return marked(_typed(decoded, self.read))

    def table_of_files(self, files: Sequence[tuple[str, bytes]]) -> pa.Table:
        """The table of uploaded files, a row each: name and content."""
        return self._of_files(files)

    def _of_files(self, files: Sequence[tuple[Any, bytes | Reject | None]]) -> pa.Table:
        rows = [_file_row(self.source, name, data) for name, data in files]
        return marked(whole_rows(rows, self.read))

    def _check(self, place: int, row: Any) -> None:
        """Refuse what is no row, names that the pipeline does not read, and missing ones."""
        if not isinstance(row, dict):
            raise UsageError(f"rows[{place}] is not an object of columns but {_kind(row)}")
        listed = ", ".join(self.columns.names)
        for name in row:
            if name not in self.columns.names:
                near = nearest(name, self.columns.names)
                raise UsageError(
                    f"rows[{place}] has the unknown column {name!r}{near}; columns: {listed}"
                )
        for name in self.columns.names:
            if name in self.required and name not in row:
                raise UsageError(
                    f"rows[{place}] lacks column {name!r} ({self.columns.field(name).type}); "
                    f"columns: {listed}. Where there is no value, write null"
                )

    def _decoded(self, row: Mapping[str, Any]) -> Decoded:
        """The row with bytes in place of base64, all the way down."""
        try:
            return {
                name: _unpacked(value, self.columns.field(name).type) for name, value in row.items()
            }, None
        except (binascii.Error, ValueError) as error:
            return dict(row), Reject("bad_base64", f"bytes are written as base64: {error}")


def _file_row(
    source: Any, name: Any, data: bytes | Reject | None
) -> tuple[SourceFile, Mapping[str, Any] | Reject]:
    """One file of a request as the source answers it."""
    named = name if isinstance(name, str) else REQUEST
    shown = named.encode(errors="replace").decode()
    file = SourceFile(shown, 0, "", shown)
    if isinstance(data, Reject):
        return file, data
    if not isinstance(data, bytes):
        return file, Reject("wrong_type", f"the file is not base64 but {_kind(data)}")
    if name is not None and not isinstance(name, str):
        return file, Reject("wrong_type", f"column 'path' expects string, found {name!r:.100}")
    return file, source.answered(data)


def _typed(decoded: Sequence[Decoded], columns: pa.Schema) -> pa.Table:
    """The source's table of rows with typed values."""
    rejects = {place: why for place, (_, why) in enumerate(decoded) if why}
    places = [place for place in range(len(decoded)) if place not in rejects]
    arrays, misfits = typed_columns([decoded[place][0] for place in places], columns)
    rejects |= {places[place]: why for place, why in misfits.items()}
    span = Span(SourceFile(REQUEST, 0, "", REQUEST), 0, len(decoded), len(decoded), 0)
    return answer(span, columns, pa.table(arrays, schema=columns), rejects)


def _unpacked(value: Any, expected: pa.DataType) -> Any:
    """A value with the bytes that its base64 stands for. Raises ValueError."""
    if _is_bytes(expected) and isinstance(value, str):
        return base64.b64decode(value, validate=True)
    if pa.types.is_nested(expected) and isinstance(value, list) and expected.num_fields == 1:
        return [_unpacked(inner, expected.field(0).type) for inner in value]
    if pa.types.is_struct(expected) and isinstance(value, dict):
        inner = {field.name: field.type for field in expected}
        return {k: _unpacked(v, inner[k]) if k in inner else v for k, v in value.items()}
    return value


def _is_bytes(found: pa.DataType) -> bool:
    return bool(pa.types.is_binary(found) or pa.types.is_large_binary(found))


def _kind(value: Any) -> str:
    """What a value of JSON is called."""
    names = {type(None): "null", list: "a list", dict: "an object", str: "text", bool: "a boolean"}
    return names.get(type(value), "a number")
