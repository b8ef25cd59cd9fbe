"""Types that other types fit into without loss: what `schema: widen` may cast, and nothing else.

Whole numbers and 64-bit floats are checked value by value when they are cast: a number that does
not fit is an error of its file, never rounded.
"""

from collections.abc import Iterable

import pyarrow as pa
from pyarrow import types as pt

_NUMBERS = (
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
    *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.float16(), pa.float32(), pa.float64()),
)
"""Candidates for what two types of numbers both fit into; narrower ones first."""

_EXACT = {pa.float16(): 11, pa.float32(): 24, pa.float64(): 64}
"""Bits of whole numbers that a float takes; of 64-bit ones, those that it holds exactly."""

_UNITS = ("s", "ms", "us", "ns")

_PLAIN = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}


def widens(found: pa.DataType, asked: pa.DataType) -> bool:
    """Say whether every value of `found` is one of `asked`, whatever their layouts."""
    found, asked = _plain(found), _plain(asked)
    if found == asked or pt.is_null(found):
        return True
    if found in _NUMBERS and asked in _NUMBERS:
        return _number_widens(found, asked)
    if pt.is_decimal(found) and pt.is_decimal(asked):
        whole = asked.precision - asked.scale
        return bool(asked.scale >= found.scale and whole >= found.precision - found.scale)
    if pt.is_timestamp(found) and pt.is_timestamp(asked):
        zoned = (found.tz is None) == (asked.tz is None)
        return zoned and _UNITS.index(found.unit) <= _UNITS.index(asked.unit)
    if _is_list(found) and _is_list(asked):
        return widens(found.value_type, asked.value_type)
    if pt.is_struct(found) and pt.is_struct(asked):
        inside = {field.name: field.type for field in found}
        return all(f.name not in inside or widens(inside[f.name], f.type) for f in asked)
    return False


def wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return a type that both fit into, or None."""
    if pt.is_struct(one) and pt.is_struct(other):
        return _wider_struct(one, other)
    if widens(one, other):
        return other
    if widens(other, one):
        return one
    if _is_list(one) and _is_list(other):
        inner = wider(one.value_type, other.value_type)
        return inner and pa.list_(inner)
    if pt.is_decimal(one) and pt.is_decimal(other):
        scale = max(one.scale, other.scale)
        whole = max(one.precision - one.scale, other.precision - other.scale)
        return pa.decimal128(whole + scale, scale) if whole + scale <= 38 else None
    both = (n for n in _NUMBERS if widens(one, n) and widens(other, n))
    return next(both, None) if one in _NUMBERS and other in _NUMBERS else None


def widest(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """Return all columns, each in a type that those of all schemas fit into; where there is none,
    in the first one's."""
    types: dict[str, pa.DataType] = {}
    for schema in schemas:
        for field in schema:
            before = types.get(field.name, field.type)
            types[field.name] = wider(before, field.type) or before
    return pa.schema(list(types.items()))


def fitted(table: pa.Table, columns: pa.Schema) -> pa.Table:
    """Return the columns, cast where they are of another type, null where they are missing.

    Raise ArrowInvalid for a value that does not fit.
    """
    there = set(table.column_names)
    arrays = [
        table[f.name].cast(f.type) if f.name in there else pa.nulls(table.num_rows, f.type)
        for f in columns
    ]
    return pa.table(arrays, schema=columns)


def _number_widens(found: pa.DataType, asked: pa.DataType) -> bool:
    if pt.is_floating(found):
        return bool(pt.is_floating(asked) and found.bit_width <= asked.bit_width)
    if pt.is_floating(asked):
        return bool(found.bit_width <= _EXACT[asked])
    if pt.is_signed_integer(found) and not pt.is_signed_integer(asked):
        return False
    same = pt.is_signed_integer(found) == pt.is_signed_integer(asked)
    return bool(found.bit_width <= asked.bit_width if same else found.bit_width < asked.bit_width)


def _wider_struct(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The fields of both, each wide enough."""
    types = {field.name: field.type for field in one}
    for field in other:
        found = wider(types.get(field.name, field.type), field.type)
        if found is None:
            return None
        types[field.name] = found
    return pa.struct(list(types.items()))


def _is_list(found: pa.DataType) -> bool:
    return bool(pt.is_list(found) or pt.is_large_list(found))


def _plain(found: pa.DataType) -> pa.DataType:
    """The ordinary layout of text, bytes, and dictionaries."""
    found = found.value_type if pt.is_dictionary(found) else found
    return _PLAIN.get(found, found)
