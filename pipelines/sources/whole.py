"""Files that are one row each: read whole, several at once where the way is long."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pyarrow as pa

from actors.errors import RowRejected
from pipelines.sources.base import (
    REJECT,
    Changed,
    Read,
    Reject,
    Skipped,
    answer_schema,
    open_file,
    planned,
    told,
)
from pipelines.sources.columns import agree
from pipelines.sources.files import Files
from pipelines.units import Extent, SourceFile, Unit

REMOTE_READS = 16
"""Files read at once from an object store, whose answers take 10 to 50 ms each."""


class WholeFiles(Files):
    """Base of sources of which one file is one row: `path`, its bytes, and what they say."""

    layout: ClassVar[pa.Schema]

    max_bytes: int

    def columns_of(self, files: Sequence[SourceFile]) -> pa.Schema:
        """Return the columns, which are the same for all files."""
        return self.layout

    def extent(self, file: SourceFile, columns: pa.Schema | None = None) -> Extent:
        """One row; the file is not opened."""
        agree(file, self.layout, columns or self.layout)
        return Extent(file, 1, file.size)

    def read(self, unit: Unit, columns: pa.Schema) -> Read:
        """Read the files' bytes; what is not a whole file of its kind is a reject."""
        read, skipped = read_whole(unit, self.max_bytes)
        rows = [(file, self._answered(got)) for file, got in read]
        return Read(whole_rows(rows, columns), skipped)

    def row(self, data: bytes) -> Mapping[str, Any]:
        """Return the columns of a file, but for `path`. Raises RowRejected."""
        raise NotImplementedError

    def _answered(self, got: bytes | Reject) -> Mapping[str, Any] | Reject:
        return got if isinstance(got, Reject) else self.answered(got)

    def answered(self, data: bytes) -> Mapping[str, Any] | Reject:
        """Return the columns of a file that is here, but for `path`, or why it is no row."""
        if too_large := refuse_size(len(data), self.max_bytes):
            return too_large
        try:
            return self.row(data)
        except RowRejected as error:
            return Reject(error.reason, error.message)


def read_whole(
    unit: Unit, most_bytes: int
) -> tuple[list[tuple[SourceFile, bytes | Reject]], list[Skipped]]:
    """Read every file of the unit, in order: its bytes, why it is no row, or why it is skipped."""
    files = [span.file for span in unit.spans]
    read, skipped = [], []
    for file, got in zip(files, _each(files, most_bytes), strict=True):
        if isinstance(got, Skipped):
            skipped.append(got)
        else:
            read.append((file, got))
    return read, skipped


def _each(files: list[SourceFile], most_bytes: int) -> Iterable[bytes | Reject | Skipped]:
    if not any(file.home for file in files):
        return [_one(file, most_bytes) for file in files]
    with ThreadPoolExecutor(REMOTE_READS) as pool:
        return list(pool.map(lambda file: _one(file, most_bytes), files))


def refuse_size(size: int, most_bytes: int) -> Reject | None:
    """Say why a file of so many bytes is no row, if it is none."""
    if size <= most_bytes:
        return None
    text = f"the file has {size} bytes, more than max_bytes ({most_bytes})"
    return Reject("file_too_large", text)


def _one(file: SourceFile, most_bytes: int) -> bytes | Reject | Skipped:
    """Read one file of the planned version; one that is too large is never opened."""
    try:
        with planned(file):
            if too_large := refuse_size(file.size, most_bytes):
                return too_large
            with open_file(file) as stream:
                data: bytes = stream.read(file.size)
    except Changed as change:
        return Skipped(file, str(change))
    return data


def whole_table(
    rows: Sequence[tuple[SourceFile, bytes | str | Reject]], name: str, columns: pa.Schema
) -> pa.Table:
    """Lay one row per file out: `path`, and the content under `name` or why there is none."""
    named = [(file, got if isinstance(got, Reject) else {name: got}) for file, got in rows]
    return whole_rows(named, columns)


def whole_rows(
    rows: Sequence[tuple[SourceFile, Mapping[str, Any] | Reject]], columns: pa.Schema
) -> pa.Table:
    """Lay one row per file out: `path`, and its other columns or why there are none."""
    values = [
        {"path": location(file)} | ({} if isinstance(got, Reject) else dict(got))
        for file, got in rows
    ]
    rejects = [told(got) if isinstance(got, Reject) else None for _, got in rows]
    return pa.table(
        [
            pa.array([file.name for file, _ in rows], pa.string()),
            pa.nulls(len(rows), pa.int64()).fill_null(0),
            *(pa.array([row.get(f.name) for row in values], f.type) for f in columns),
            pa.array(rejects, REJECT.type),
        ],
        schema=answer_schema(columns),
    )


def location(file: SourceFile) -> str:
    """Return where a file is, as a path or a URI without credentials."""
    return f"{file.home.split('://')[0]}://{file.path}" if file.home else file.path
