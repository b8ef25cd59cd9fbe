"""Reading a whole source in units of a given size, for tests."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.sources import Source, answer_schema
from pipelines.units import Cutter, SourceFile, Unit, pieces


def whole(source: Source, files: list[SourceFile]) -> Unit:
    """One unit with every row of the files."""
    waiting = (piece for file in files for piece in pieces(source.extent(file)))
    unit = Cutter(waiting, most_bytes=1 << 40).next(1 << 40)
    assert unit is not None
    return unit


def read_all(source: Source, base: Path, rows: int = 3) -> pa.Table:
    """Every row of the source, read in units of `rows` rows."""
    files = source.files(base)
    columns = source.offers(files)
    waiting = (piece for file in files for piece in pieces(source.opens(file, columns)))
    cutter = Cutter(waiting, most_bytes=1 << 40)
    tables = [answer_schema(columns).empty_table()]
    while unit := cutter.next(rows):
        read = source.gives(unit, columns)
        assert read.skipped == []
        tables.append(read.table)
    return pa.concat_tables(tables).combine_chunks()


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    """Rows as tuples, with a reject told by its reason."""
    return [
        (*list(row.values())[:-1], row["_reject"] and row["_reject"]["reason"])
        for row in table.to_pylist()
    ]


def touch(path: Path, content: bytes = b"x") -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
