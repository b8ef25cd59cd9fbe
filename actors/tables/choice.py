"""Which columns of a table to learn from, and as what."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from actors.errors import UsageError, nearest
from actors.tables.features import Feature, Kind

MOST_CATEGORIES = 254
"""Most values of a category: scikit-learn's gradient boosting takes 255, one of them missing."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The features' kinds in the table's order, and why the other columns were left out."""

    kinds: dict[str, Kind]
    left_out: dict[str, str]


def choose(
    table: pa.Table, target: str, asked: Mapping[str, Kind | None] | None, texts: bool
) -> Choice:
    """Choose the features of a table. `asked` names them, with a kind or None for the usual one;
    None takes all that can be used. `texts`: whether the model reads free text.

    Raises UsageError for a column that is missing or cannot be used though asked for.
    """
    check_there(table.column_names, [target, *(asked or ())])
    if target in (asked or ()):
        raise UsageError(f"'{target}' is the target, so it cannot be a feature.")
    kinds: dict[str, Kind] = {}
    left_out: dict[str, str] = {}
    for name in asked or [name for name in table.column_names if name != target]:
        wanted = (asked or {}).get(name)
        kind, why = (wanted, "") if wanted else _usual(table[name], texts)
        why = why or (_misfit(table[name], kind, texts) if kind else "")
        if kind and not why:
            kinds[name] = kind
        elif asked:
            raise UsageError(f"feature '{name}' cannot be used: {why}.")
        else:
            left_out[name] = why
    if not kinds:
        said = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise UsageError(f"there is no column to learn from ({said or 'the target is alone'}).")
    return Choice(kinds, left_out)


def check_there(columns: Sequence[str], names: Iterable[str]) -> None:
    """Raise UsageError for a column that the table lacks."""
    for name in names:
        if name not in columns:
            raise UsageError(
                f"the table has no column '{name}'{nearest(name, columns)}.\n"
                f"  columns: {', '.join(columns)}"
            )


def is_usable(found: pa.DataType) -> bool:
    """Whether a column of this type can be a feature at all."""
    return pa.types.is_boolean(found) or is_number(found) or is_text(found)


def unusable(found: pa.DataType) -> str:
    """Why not."""
    return f"its type is {found}; used are numbers, booleans and texts"


def is_text(found: pa.DataType) -> bool:
    """Whether a column holds texts."""
    return any(f(found) for f in (pa.types.is_string, pa.types.is_large_string)) or (
        pa.types.is_dictionary(found) and is_text(found.value_type)
    )


def is_number(found: pa.DataType) -> bool:
    """Whether a column holds numbers; booleans are none."""
    checks = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(check(found) for check in checks)


def _usual(column: pa.ChunkedArray, texts: bool) -> tuple[Kind | None, str]:
    """The kind that a column's type and values suggest, or why there is none."""
    if not is_usable(column.type):
        return None, unusable(column.type)
    different = _different(column)
    if not different:
        return None, "it is empty"
    if different == 1 and not column.null_count:
        return None, "it has one value only"
    if pa.types.is_boolean(column.type):
        return "boolean", ""
    if is_number(column.type):
        return "number", ""
    if different <= min(MOST_CATEGORIES, len(column) // 2):
        return "category", ""
    if texts:
        return "text", ""
    return None, (
        f"it has {different:,} different texts in {len(column):,} rows, as ids and free texts do"
        " (model text-and-table reads free text)"
    )


def _misfit(column: pa.ChunkedArray, kind: Kind, texts: bool) -> str:
    """Why a column cannot be of this kind, or nothing."""
    fitting = {
        "number": is_number(column.type) or pa.types.is_boolean(column.type),
        "boolean": pa.types.is_boolean(column.type),
        "category": is_text(column.type) or pa.types.is_integer(column.type),
        "text": is_text(column.type),
    }
    if not fitting[kind]:
        return f"its type is {column.type}, which is no {kind}"
    if kind == "text" and not texts:
        return "only the model text-and-table reads texts"
    different = _different(column)
    if kind == "category" and different > MOST_CATEGORIES:
        return (
            f"it has {different:,} different values, and a category has {MOST_CATEGORIES} at most"
        )
    return "" if different else "it is empty"


def _different(column: pa.ChunkedArray) -> int:
    """How many different values a column has, null left out."""
    return int(pc.count_distinct(plain(column), mode="only_valid").as_py())


def learned(table: pa.Table, kinds: Mapping[str, Kind]) -> list[Feature]:
    """The features, with the categories that these rows hold."""
    return [Feature(name, kind, _values(table[name], kind)) for name, kind in kinds.items()]


def _values(column: pa.ChunkedArray, kind: Kind) -> tuple[str | int, ...]:
    if kind != "category":
        return ()
    found = pc.unique(plain(column)).to_pylist()
    return tuple(sorted(value for value in found if value is not None))


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers that are no integers as float64, and dictionaries as what they hold."""
    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    if pa.types.is_decimal(column.type):
        return column.cast(pa.float64(), safe=False)
    return column
