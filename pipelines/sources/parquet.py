"""Parquet: rows are read by row group, in batches, and only the columns asked for.

The schema is checked before any value is converted, because a file may carry pickles.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, NamedTuple

import pyarrow as pa
from pyarrow import parquet as pq

from actors.errors import SourceFailed
from pipelines.sources.base import answer, failed, open_file
from pipelines.sources.columns import agree, offered
from pipelines.sources.files import Files
from pipelines.sources.widening import fitted
from pipelines.units import Extent, SourceFile, Span

PICKLES = frozenset({"ray.data.arrow_pickled_object", "arrow.py_extension_type"})
"""Extension types made of pickles: converting a value runs code from the file."""

EXTENSION_KEY = b"ARROW:extension:name"
"""Where a field names its extension type when this process has not registered it."""

BATCH_BYTES = 32 << 20
"""About what one batch of a row group weighs, by its footer."""

BATCH_ROWS = 4096
"""Most rows in a batch: repeated text weighs nothing in the footer and unpacks to gigabytes (206 KB
on disk, 109 KB by the footer, 1.9 GB in memory, for 65,536 rows of 30 KB)."""

READ_AHEAD = 1 << 20
"""Bytes of a column read at a time on this machine."""

REMOTE_READ_AHEAD = 8 << 20
"""The same in an object store, where a request takes as long as about a megabyte."""

UNREADABLE = (OSError, pa.ArrowException, ValueError)
"""What a file raises that is not Parquet, is cut short, or has a bad footer."""


class Parquet(Files):
    """Rows from Parquet files that agree on the columns asked for."""

    endings: ClassVar[tuple[str, ...]] = (".parquet", ".pq")

    kind: Literal["parquet"] = "parquet"

    def columns_of(self, files: Sequence[SourceFile]) -> pa.Schema:
        """Return the first file's columns; the other files are checked when they are opened."""
        try:
            with opened_parquet(files[0]) as opened:
                return offered(without_extensions(opened.schema_arrow))
        except UNREADABLE as error:
            raise failed(files[0], error) from error

    def extent(self, file: SourceFile, columns: pa.Schema | None = None) -> Extent:
        """Read the footer: rows, unpacked bytes, and where row groups begin."""
        try:
            with opened_parquet(file) as opened:
                self._check(file, opened.schema_arrow, columns or pa.schema([]))
                return extent_of(file, opened)
        except UNREADABLE as error:
            raise failed(file, error) from error

    def read_span(self, span: Span, columns: pa.Schema) -> pa.Table:
        """Read a slice, batch by batch; other row groups and columns are not touched."""
        with opened_parquet(span.file) as opened:
            found = opened.schema_arrow
            self._check(span.file, found, columns)
            names = [name for name in columns.names if name in found.names]
            if not names:
                return answer(span, columns, fitted(no_columns(span.rows), columns), {})
            rows = slice_of(opened, span.start, span.stop, names)
        return answer(span, columns, fitted(rows, columns), {})

    def _check(self, file: SourceFile, found: pa.Schema, asked: pa.Schema) -> None:
        """Raise SourceFailed unless the file has the columns asked for, in plain types."""
        _check_plain(file, found, asked)
        agree(file, found, asked, widen=self.schema_rule == "widen")


def extent_of(file: SourceFile, opened: pq.ParquetFile) -> Extent:
    """Return what the footer tells: rows, unpacked bytes, and where row groups begin."""
    groups = _groups(opened.metadata)
    rows = groups[-1].stop if groups else 0
    weight = max(file.size, sum(group.bytes for group in groups))
    return Extent(file, rows, weight, borders=tuple(group.start for group in groups))


def slice_of(opened: pq.ParquetFile, start: int, stop: int, names: Sequence[str]) -> pa.Table:
    """Read rows [start, stop) of these columns, at least one, in the file's types."""
    read = pa.schema([opened.schema_arrow.field(name) for name in names])
    return pa.Table.from_batches(_batches(opened, start, stop, list(names)), read)


class _Group(NamedTuple):
    """A row group: its place, its rows [start, stop) in the file, its unpacked bytes."""

    place: int
    start: int
    stop: int
    bytes: int


def _groups(footer: pq.FileMetaData) -> list[_Group]:
    groups, start = [], 0
    for place in range(footer.num_row_groups):
        group = footer.row_group(place)
        groups.append(_Group(place, start, start + group.num_rows, group.total_byte_size))
        start += group.num_rows
    return groups


@contextmanager
def opened_parquet(
    file: SourceFile, opening: Callable[[SourceFile], Any] = open_file
) -> Iterator[pq.ParquetFile]:
    """Open a file without reading ahead. Raise SourceFailed for one that carries pickles, and one
    of `UNREADABLE` for one that is no Parquet."""
    ahead = REMOTE_READ_AHEAD if file.home else READ_AHEAD
    with opening(file) as stream:
        opened = pq.ParquetFile(stream, buffer_size=ahead, pre_buffer=False)
        for field in opened.schema_arrow:
            if pickled := PICKLES & set(_extensions(field)):
                raise SourceFailed(
                    f"source file {file.name!r} has column {field.name!r} of type {min(pickled)}: "
                    f"its values are pickles, and reading them would run code from the file\n"
                    f"  write the file again without that column"
                )
        yield opened


def _extensions(field: pa.Field) -> Iterator[str]:
    """Yield the extension types of a field and of all that it nests, registered or not."""
    if name := (field.metadata or {}).get(EXTENSION_KEY):
        yield name.decode(errors="replace")
    inner = field.type
    if isinstance(inner, pa.BaseExtensionType):
        yield inner.extension_name
        yield from _extensions(pa.field("", inner.storage_type))
    elif pa.types.is_dictionary(inner):
        yield from _extensions(pa.field("", inner.value_type))
    else:
        for place in range(inner.num_fields):
            yield from _extensions(inner.field(place))


def without_extensions(schema: pa.Schema) -> pa.Schema:
    """Return the schema with the storage in place of extension types, registered or not."""
    return pa.schema([(f.name, getattr(f.type, "storage_type", f.type)) for f in schema])


def _check_plain(file: SourceFile, found: pa.Schema, asked: pa.Schema) -> None:
    """Raise SourceFailed for a column asked for that is in an extension type."""
    for name in asked.names:
        for place in found.get_all_field_indices(name):
            if extension := next(_extensions(found.field(place)), None):
                raise SourceFailed(
                    f"source file {file.name!r} has column {name!r} in the extension type "
                    f"{extension}; only plain types are read\n"
                    f"  write the file again with the values in a plain type"
                )


def _batches(
    opened: pq.ParquetFile, first: int, last: int, names: list[str]
) -> Iterator[pa.RecordBatch]:
    """Yield rows [first, last); rows before them in their row group are read and let go."""
    for group in _groups(opened.metadata):
        if group.stop <= first or group.start >= last:
            continue
        at = group.start
        for batch in opened.iter_batches(
            _batch_rows(group), [group.place], names, use_threads=False
        ):
            start, stop = max(first - at, 0), min(last - at, batch.num_rows)
            if start < stop:
                yield batch.select(names).slice(start, stop - start)
            at += batch.num_rows
            if at >= last:
                break


def _batch_rows(group: _Group) -> int:
    """Return how many rows one batch may have."""
    per_row = max(group.bytes // max(group.stop - group.start, 1), 1)
    return max(1, min(BATCH_ROWS, BATCH_BYTES // per_row))


def no_columns(rows: int) -> pa.Table:
    """Return a table of so many rows and no column."""
    return pa.table({"": pa.nulls(rows)}).select([])
