"""Which columns table formats can hold: what Delta, Iceberg and Parquet agree on."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.types as is_

from actors.errors import UsageError

SIGNED = (pa.int8(), pa.int16(), pa.int32(), pa.int64())

PLAIN = (
    is_.is_boolean,
    is_.is_float32,
    is_.is_float64,
    is_.is_string,
    is_.is_large_string,
    is_.is_binary,
    is_.is_large_binary,
    is_.is_fixed_size_binary,
    is_.is_date32,
    is_.is_decimal128,
)

UTC = (None, "UTC", "+00:00")
"""Time zones of timestamps; others would be lost, because tables keep none."""


def check_columns(columns: pa.Schema, kind: str) -> None:
    """Refuse columns that a table cannot hold as they are. Raises UsageError."""
    names = [field.name.lower() for field in columns]
    twice = [field.name for field in columns if names.count(field.name.lower()) > 1]
    if twice:
        raise UsageError(
            f"sink kind {kind} does not tell upper from lower case: {', '.join(twice)}.\n"
            "  give one of them another name in its stage's output:, or leave it out of keep:"
        )
    for field in columns:
        for type_ in _leaves(field.type):
            if not _is_held(type_):
                raise UsageError(
                    f"sink kind {kind} cannot hold column {field.name!r}, because tables have no "
                    f"type {type_}.\n  leave it out of keep:, or take sink kind parquet"
                )


def _leaves(type_: pa.DataType) -> Iterator[pa.DataType]:
    """The types that a type is made of."""
    if is_.is_list(type_) or is_.is_large_list(type_) or is_.is_fixed_size_list(type_):
        yield from _leaves(type_.value_type)
    elif is_.is_map(type_):
        yield from (*_leaves(type_.key_type), *_leaves(type_.item_type))
    elif is_.is_struct(type_) and type_.num_fields:
        for field in type_:
            yield from _leaves(field.type)
    elif is_.is_dictionary(type_):
        yield from _leaves(type_.value_type)
    else:
        yield type_


def _is_held(type_: pa.DataType) -> bool:
    if is_.is_timestamp(type_):
        return type_.unit in ("ms", "us") and type_.tz in UTC
    return type_ in SIGNED or any(check(type_) for check in PLAIN)
