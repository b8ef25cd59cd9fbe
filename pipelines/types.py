"""Which column can be read as what."""

import pyarrow as pa

_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)


def fits(found: pa.DataType, wanted: pa.DataType, rounds: bool = False) -> bool:
    """Whether a column of type `found` can be read as `wanted`: without losing anything, or, where
    the reader `rounds`, as the nearest float of any number, and a column of nulls as anything."""
    if pa.types.is_dictionary(found):
        found = found.value_type
    if rounds and pa.types.is_null(found):
        return True
    if rounds and pa.types.is_floating(wanted):
        return _is_number(found)
    if found == wanted:
        return True
    for family in (_TEXT, _BYTES):
        if any(is_it(found) for is_it in family) and any(is_it(wanted) for is_it in family):
            return True
    if pa.types.is_integer(found) and pa.types.is_integer(wanted):
        return _integer_fits(found, wanted)
    if pa.types.is_floating(found) and pa.types.is_floating(wanted):
        return bool(found.bit_width <= wanted.bit_width)
    if pa.types.is_integer(found) and pa.types.is_floating(wanted):
        return bool(found.bit_width < wanted.bit_width)
    if _is_list(found) and _is_list(wanted):
        return fits(found.value_type, wanted.value_type, rounds)
    if pa.types.is_struct(found) and pa.types.is_struct(wanted):
        return all(_has(found, field, rounds) for field in wanted)
    return False


def _has(found: pa.StructType, wanted: pa.Field, rounds: bool) -> bool:
    """Whether a struct has the field; what else it has is not read."""
    index = found.get_field_index(wanted.name)
    return index >= 0 and fits(found.field(index).type, wanted.type, rounds)


def _integer_fits(found: pa.DataType, wanted: pa.DataType) -> bool:
    signed, wants_sign = (pa.types.is_signed_integer(t) for t in (found, wanted))
    if signed == wants_sign:
        return bool(found.bit_width <= wanted.bit_width)
    return bool(wants_sign and found.bit_width < wanted.bit_width)


def _is_number(type: pa.DataType) -> bool:
    checks = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(is_it(type) for is_it in checks)


def _is_list(type: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type)
    )
