"""A table of answers as JSON: one object a row, in the order of the request."""

import base64
import math
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

import pyarrow as pa

from pipelines.parts import REJECT
from pipelines.plan import RESERVED

WHY = "reject"
"""The key of an answer that says why there is none."""

MEDIA = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ply\n", "model/x-ply"),
)
"""How files of these kinds begin."""


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """Answers: the written columns, null where the row is rejected, and `reject`."""
    names = [name for name in table.column_names if name not in RESERVED]
    columns = {name: _values(table[name]) for name in names}
    why = [_why(reject) for reject in table[REJECT].to_pylist()]
    return [
        {**{name: columns[name][row] for name in names}, WHY: why[row]}
        for row in range(table.num_rows)
    ]


def _why(reject: dict[str, Any] | None) -> dict[str, str] | None:
    """A reject without its time, which says nothing to who asked just now."""
    return reject and {name: reject[name] for name in ("stage", "reason", "message")}


def _values(column: pa.ChunkedArray) -> list[Any]:
    shaped = _shaper(column.type)
    return [shaped(value) for value in column.to_pylist()]


def _shaper(kind: pa.DataType) -> Callable[[Any], Any]:
    """How a value of a type becomes one of JSON; chosen once a column, not once a value."""
    if pa.types.is_floating(kind):
        return _number
    if pa.types.is_struct(kind):
        inner = {field.name: _shaper(field.type) for field in kind}
        return lambda value: value and {name: inner[name](v) for name, v in value.items()}
    if pa.types.is_nested(kind) and kind.num_fields == 1 and not pa.types.is_map(kind):
        element = _shaper(kind.field(0).type)
        return lambda value: None if value is None else [element(v) for v in value]
    if any(is_it(kind) for is_it in (pa.types.is_string, pa.types.is_integer, pa.types.is_boolean)):
        return lambda value: value
    return _other


def _number(value: float | None) -> float | None:
    """JSON has no NaN and no infinity: null. Stages never answer them, only a source may."""
    return value if value is not None and math.isfinite(value) else None


def _other(value: Any) -> Any:
    """Bytes with their media type, times as ISO 8601, and anything else as text."""
    if isinstance(value, bytes):
        return {"media_type": media_type(value), "base64": base64.b64encode(value).decode()}
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int) else str(value)


def media_type(data: bytes) -> str:
    """What a file is, by how it begins."""
    if data[:4] == b"RIFF":
        return {b"WAVE": "audio/wav", b"WEBP": "image/webp"}.get(data[8:12], "application/riff")
    if data[4:8] == b"ftyp":
        return "video/mp4"
    found = (name for start, name in MEDIA if data.startswith(start))
    return next(found, "application/octet-stream")
