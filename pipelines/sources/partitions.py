"""Hive-partitioned folders: `year=2026/month=01/x.parquet` has the columns year and month.

The rules are Hive's: values are percent-encoded, `__HIVE_DEFAULT_PARTITION__` is null. Types are
told from all values: whole numbers, else dates (2026-01-31), else text.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from actors.errors import SourceDrifted, UsageError, nearest
from pipelines.units import SourceFile

NULL = "__HIVE_DEFAULT_PARTITION__"
"""The folder of rows whose value is null."""

_WHOLE = re.compile(r"-?[0-9]{1,18}\Z")
"""A whole number that 64 bits hold, leading zeros or not (month=01 is 1, as in Hive and Spark)."""


def values_of(file: SourceFile) -> dict[str, str | None]:
    """Return the values that a file's folders name, in their order; of a key named twice, the last.

    Folders that are not `key=value` have none.
    """
    parts = (part.partition("=") for part in file.name.split("/")[:-1])
    return {unquote(k): None if v == NULL else unquote(v) for k, equals, v in parts if k and equals}


def partition_columns(files: Sequence[SourceFile], given: pa.Schema) -> pa.Schema:
    """Return the columns that the folders give, typed as `given` or as their values are.

    Raise UsageError for a file outside of the folders' scheme, and a given name that is no key.
    """
    keys = _scheme(files)
    for name in given.names:
        if name not in keys:
            raise UsageError(
                f"partition_types names {name!r}, which no folder does{nearest(name, keys)}\n"
                f"  folders: {_shown(keys)}"
            )
    found = [values_of(file) for file in files]
    types = {field.name: field.type for field in given}
    return pa.schema([(k, types.get(k) or _told(values[k] for values in found)) for k in keys])


def _scheme(files: Sequence[SourceFile]) -> tuple[str, ...]:
    """The keys of most files; all must have them, in that order."""
    schemes = Counter(tuple(values_of(file)) for file in files)
    keys = max(schemes, key=lambda scheme: (bool(scheme), schemes[scheme]))
    if not keys:
        raise UsageError(
            f"partitions: hive expects folders such as year=2026/, and {files[0].name!r} lies in "
            "none\n  names begin below the source's path: let it end above the first key=value "
            "folder"
        )
    for file in files:
        if tuple(values_of(file)) != keys:
            raise UsageError(
                f"source file {file.name!r} lies outside of the partition folders {_shown(keys)}\n"
                "  move it to its folder, or name the others by a glob:  path: FOLDER/"
                + "/".join("*=*" for _ in keys) + "/*"
            )  # fmt: skip
    return keys


def _shown(keys: Sequence[str]) -> str:
    return "/".join(f"{key}=..." for key in keys)


def _told(values: Iterable[str | None]) -> pa.DataType:
    """Return the type that all values have; without any value, text."""
    said = {value for value in values if value is not None}
    if said and all(_WHOLE.match(value) for value in said):
        return pa.int64()
    if said and all(map(_is_date, said)):
        return pa.date32()
    return pa.string()


def _is_date(said: str) -> bool:
    try:
        return len(said) == len("2026-01-31") and bool(date.fromisoformat(said))
    except ValueError:
        return False


def check_values(file: SourceFile, columns: pa.Schema) -> None:
    """Raise SourceDrifted for a value of the file's folders that is not of its column's type."""
    for name, said in values_of(file).items():
        if name in columns.names:
            _value(file, columns.field(name), said)


def _value(file: SourceFile, field: pa.Field, said: str | None) -> pa.Array:
    """Return the value, as an array of one."""
    try:
        return pa.array([said], pa.string()).cast(field.type)
    except pa.ArrowException:
        raise SourceDrifted(
            f"source file {file.name!r} lies in a folder {field.name}={said}, and the values of "
            f"{field.name!r} are {field.type}\n"
            "  move the file, or read all values as text:  "
            f"partition_types: {{{field.name}: string}}, with a new sink path or --fresh"
        ) from None


def with_values(table: pa.Table, files: Sequence[SourceFile], columns: pa.Schema) -> pa.Table:
    """Add the columns that the files' folders give to rows that were read of them, in the order of
    `columns`: `_source`, `_row` first, `_reject` last."""
    here = pc.index_in(table["_source"], pa.array([file.name for file in files], pa.string()))
    for field in columns:
        if field.name not in table.column_names:
            values = [_value(file, field, values_of(file)[field.name]) for file in files]
            column = pa.chunked_array(values, field.type).take(here)
            table = table.append_column(field, column)
    return table.select(["_source", "_row", *columns.names, "_reject"])
