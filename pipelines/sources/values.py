"""Python values, as JSON gives them, into typed columns: exactly, or not at all.

Arrow alone is too kind here: it makes 1 of 1.5 for an integer column and a list of letters of text
for a list column.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipelines.sources.base import MESSAGE_LENGTH, Reject

_REFUSED = (pa.ArrowException, ValueError, TypeError, OverflowError)
"""What Arrow raises for a value that it cannot hold: too large, a lone surrogate, a bad date."""


def typed_columns(
    rows: Sequence[dict[str, Any]], columns: pa.Schema
) -> tuple[list[pa.Array], dict[int, Reject]]:
    """Return the columns of the rows that fit them, and why the others do not (by place)."""
    misfits: dict[int, Reject] = {}
    for field in columns:
        misfits |= _misfits(field, [row.get(field.name) for row in rows])
    good = [row for place, row in enumerate(rows) if place not in misfits]
    return [_build([row.get(f.name) for row in good], f.type) for f in columns], misfits


def _misfits(field: pa.Field, values: list[Any]) -> dict[int, Reject]:
    """Find the values that do not fit; one try for all of them, then one by one."""
    try:
        _build(values, field.type)
    except _REFUSED:
        found = ((place, _misfit(field, value)) for place, value in enumerate(values))
        return {place: reject for place, reject in found if reject}
    return {}


def _misfit(field: pa.Field, value: Any) -> Reject | None:
    try:
        _build([value], field.type)
    except UnicodeEncodeError as error:
        return Reject("bad_encoding", f"column {field.name!r} is not valid text: {error}")
    except _REFUSED:
        said = repr(value)[: MESSAGE_LENGTH // 2]
        return Reject("wrong_type", f"column {field.name!r} expects {field.type}, found {said}")
    return None


def _build(values: list[Any], expected: pa.DataType) -> pa.Array:
    """Build one column. Raise one of `_REFUSED` if a value does not fit."""
    for value in values:
        if not fits(value, expected):
            raise ValueError(f"{value!r} is no {expected}")
    if _is_written(expected):
        return pa.array(values, pa.string()).cast(expected)
    return pa.array(values, expected)


def _is_written(expected: pa.DataType) -> bool:
    """Say whether JSON writes values of this type as text."""
    return bool(pa.types.is_temporal(expected) or pa.types.is_decimal(expected))


def fits(value: Any, expected: pa.DataType) -> bool:
    """Say whether a value of JSON is of this type; null always is, and 2.0 is an integer."""
    if value is None:
        return True
    if pa.types.is_boolean(expected):
        return isinstance(value, bool)
    if pa.types.is_integer(expected):
        return type(value) is int or (isinstance(value, float) and value.is_integer())
    if pa.types.is_floating(expected):
        return type(value) in (int, float)
    if _is_list(expected):
        return isinstance(value, list) and all(fits(v, expected.value_type) for v in value)
    if pa.types.is_struct(expected):
        return isinstance(value, dict) and all(fits(value.get(f.name), f.type) for f in expected)
    if _is_bytes(expected):
        return isinstance(value, str | bytes)
    return isinstance(value, str)


def _is_list(expected: pa.DataType) -> bool:
    checks = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_it(expected) for is_it in checks)


def _is_bytes(expected: pa.DataType) -> bool:
    return bool(pa.types.is_binary(expected) or pa.types.is_large_binary(expected))


def inferred(values: Sequence[Any]) -> pa.DataType:
    """Return the values' type; where they disagree, the type of the first that is not null."""
    try:
        return pa.infer_type(values)
    except _REFUSED:
        return pa.infer_type([next(value for value in values if value is not None)])
