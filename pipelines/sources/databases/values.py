"""Values of a database into typed columns; a value that does not fit costs its row alone."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from pipelines.sources.base import MESSAGE_LENGTH, Reject

_REFUSED = (pa.ArrowException, ValueError, TypeError, OverflowError)
"""What Arrow raises for a value that it cannot hold."""

_PYTHON = (
    (pa.types.is_boolean, (bool,)),
    (pa.types.is_integer, (int,)),
    (pa.types.is_floating, (float,)),
    (pa.types.is_string, (str,)),
    (pa.types.is_binary, (bytes,)),
)
"""The Python types of columns' values; Arrow itself would take 1.5 for a 1."""


class Unreadable(NamedTuple):
    """Stands for a value of the database that Python cannot hold, as the database writes it."""

    text: str


def table_of(
    rows: Sequence[Sequence[Any]], columns: pa.Schema
) -> tuple[pa.Table, dict[int, Reject]]:
    """Return the rows that fit the columns, in order, and why the others do not, by place."""
    rejects: dict[int, Reject] = {}
    for place, field in enumerate(columns):
        values = [row[place] for row in rows]
        if not _fits(values, field.type):
            found = ((row, _reject(value, field)) for row, value in enumerate(values))
            rejects |= {row: why for row, why in found if why}
    good = [row for number, row in enumerate(rows) if number not in rejects]
    arrays = [pa.array([row[n] for row in good], field.type) for n, field in enumerate(columns)]
    if not len(columns):
        return pa.table({"": pa.nulls(len(good))}).select([]), rejects
    return pa.Table.from_arrays(arrays, schema=columns), rejects


def _fits(values: Sequence[Any], kind: pa.DataType) -> bool:
    exact = next((types for is_kind, types in _PYTHON if is_kind(kind)), None)
    if exact and not all(value is None or type(value) in exact for value in values):
        return False
    try:
        pa.array(values, kind)
    except _REFUSED:
        return False
    return True


def _reject(value: Any, field: pa.Field) -> Reject | None:
    if _fits([value], field.type):
        return None
    said = value.text if isinstance(value, Unreadable) else repr(value)
    short = said[: MESSAGE_LENGTH // 2]
    return Reject("wrong_type", f"column {field.name!r} expects {field.type}, found {short}")
