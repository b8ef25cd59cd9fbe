"""Column types: as users write them, as files have them, and whether the two agree."""

import re
from collections.abc import Mapping

import pyarrow as pa

from actors.errors import SourceDrifted, SourceFailed, nearest
from pipelines.sources.base import RESERVED
from pipelines.sources.widening import widens
from pipelines.units import SourceFile

_LIST = re.compile(r"list<(.+)>\Z")

_ALIASES = (
    *("string", "binary", "bool", "float32", "float64", "double"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("date32", "timestamp[s]", "timestamp[ms]", "timestamp[us]", "timestamp[ns]"),
)

_WIDE = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}
"""Other layouts of the same values. Writers mix them freely (Polars writes the large ones)."""


def parse_types(columns: Mapping[str, str]) -> pa.Schema:
    """Turn `columns: {name: type}` into a schema. Raise ValueError for an unknown type."""
    return pa.schema([(name, _parse_type(name, said)) for name, said in columns.items()])


def _parse_type(name: str, said: str) -> pa.DataType:
    if inner := _LIST.match(said):
        return pa.list_(_parse_type(name, inner[1]))
    if said not in _ALIASES:
        raise ValueError(
            f"column {name!r} has the unknown type {said!r}{nearest(said, _ALIASES)}\n"
            f"  types: {', '.join(_ALIASES)}, list<type>"
        )
    return pa.type_for_alias(said)


def settled(found: pa.DataType) -> pa.DataType:
    """Return a type that values can have: what was only ever null is taken for text."""
    if pa.types.is_null(found):
        return pa.string()
    if pa.types.is_list(found):
        return pa.list_(settled(found.value_type))
    if pa.types.is_struct(found):
        return pa.struct([(field.name, settled(field.type)) for field in found])
    return found


def plain(found: pa.DataType) -> pa.DataType:
    """Return the ordinary layout of a text or binary type; any other type as it is."""
    return _WIDE.get(found, found)


def offered(schema: pa.Schema) -> pa.Schema:
    """Return the columns of a file that a pipeline may ask for: nullable, in ordinary layouts, and
    without the names that sources make themselves."""
    return pa.schema(
        [(field.name, plain(field.type)) for field in schema if field.name not in RESERVED]
    )


def agree(file: SourceFile, found: pa.Schema, asked: pa.Schema, widen: bool = False) -> None:
    """Raise SourceFailed unless the file has each asked column, once, in the asked type.

    With `widen`, a column may be missing, or in a type that fits into the asked one.
    """
    for field in asked:
        places = found.get_all_field_indices(field.name)
        if len(places) > 1:
            raise SourceFailed(
                f"source file {file.name!r} has column {field.name!r} more than once"
            )
        if not places and not widen:
            raise SourceDrifted(missing_column(file, field, found.names))
        there = found.field(places[0]).type if places else field.type
        if not same(there, field.type) and not (widen and widens(there, field.type)):
            raise SourceDrifted(_retyped(file, field, there))


def missing_column(file: SourceFile, field: pa.Field, names: list[str]) -> str:
    """Say that a file lacks a column, and what it has."""
    return (
        f"source file {file.name!r} has no column {field.name!r} ({field.type}), which other files "
        f"or the pipeline expect{nearest(field.name, names)}\n  columns there: {', '.join(names)}\n"
        "  to take a missing column as null, add below source:  schema: widen"
    )


def _retyped(file: SourceFile, field: pa.Field, there: pa.DataType) -> str:
    """Say that a file has a column in another type, and what can be done."""
    if widens(there, field.type):
        advice = "to have types that fit widened, add below source:  schema: widen"
    elif widens(field.type, there):
        advice = (
            "to take the wider type for all, add below source:  schema: widen\n"
            "  and if rows are answered already, begin anew: a new sink path, or --fresh"
        )
    else:
        advice = f"write the file again with {field.name!r} as {field.type}, or take it out"
    return (
        f"source file {file.name!r} has column {field.name!r} as {there}; the other files, or the "
        f"pipeline, expect {field.type}\n  {advice}"
    )


def same(found: pa.DataType, asked: pa.DataType) -> bool:
    """Say whether values carry over unchanged: same type, another layout, or a dictionary of it.

    What has only nulls is of any type.
    """
    if pa.types.is_dictionary(found) and not pa.types.is_dictionary(asked):
        found = found.value_type
    if pa.types.is_null(found):
        return True
    if pa.types.is_list(found) and pa.types.is_list(asked):
        return same(found.value_type, asked.value_type)
    if pa.types.is_struct(found) and pa.types.is_struct(asked):
        names = [field.name for field in found] == [field.name for field in asked]
        return names and all(same(f.type, a.type) for f, a in zip(found, asked, strict=True))
    return bool(plain(found) == plain(asked))
