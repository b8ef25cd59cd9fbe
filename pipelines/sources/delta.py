"""Delta Lake: the data files of one version of a table, so that appended files are new work."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pyarrow as pa
from pyarrow import fs
from pydantic import Field

from actors.errors import UsageError
from pipelines.sources.base import Answered, answer, failed
from pipelines.sources.columns import agree, offered
from pipelines.sources.delta_log import Log, read_log
from pipelines.sources.lineage import standing
from pipelines.sources.listing import Root, file_system, missing, root_of
from pipelines.sources.parquet import UNREADABLE, opened_parquet
from pipelines.sources.tables import (
    Table,
    conform,
    live_extent,
    live_slice,
    not_installed,
    note_of,
    packed,
)
from pipelines.units import Extent, SourceFile, Span

if TYPE_CHECKING:
    from deltalake import DeltaTable

FEATURES = frozenset({"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "deletionVectors"})
"""Reader features that are read right, or do not touch reading; others are refused by name."""

LOG = "_delta_log"
"""The folder that makes a folder a table."""


class Delta(Table):
    """Rows from the Parquet files of a Delta table, partition columns among their columns."""

    where: ClassVar[frozenset[str]] = frozenset({"path", "version"})

    kind: Literal["delta"] = "delta"
    path: str = Field(description="The table's folder; local or a URI such as s3://bucket/key.")
    version: int | None = Field(
        default=None, ge=0, description="Version of the table; left out, the newest."
    )

    def files(self, base: Path, answered: Answered = dict) -> list[SourceFile]:
        """List the data files of the version, sorted by name.

        Files that only moved rows which `answered` has already are listed as the files that they
        were made of. Raise UsageError when there is no such table, or it needs what is not there.
        """
        root = root_of(self.path, base)
        _check_place(root)
        table = _opened(_address(root), root.home, self.version)
        _check_features(root, table)
        files = {file.name: file for file in _listed(root, table)}
        if not files:
            raise UsageError(f"the Delta table {root.written!r} has no rows at {table.version()}")
        done = answered()
        if not done.keys() <= files.keys():
            files = _rewritten(root, table, files, done)
        return sorted(files.values(), key=lambda file: file.name)

    def columns_of(self, files: Sequence[SourceFile]) -> pa.Schema:
        """Return the table's columns at this version."""
        said = note_of(files[0])
        return _columns(said["table"], files[0].home, said["at"])

    def extent(self, file: SourceFile, columns: pa.Schema | None = None) -> Extent:
        """Read the footer; rows that were deleted do not count."""
        if columns is not None and len(columns):
            agree(file, self.columns_of([file]), columns)
        try:
            with opened_parquet(file) as opened:
                return live_extent(file, opened, note_of(file).get("live"))
        except UNREADABLE as error:
            raise failed(file, error) from error

    def read_span(self, span: Span, columns: pa.Schema) -> pa.Table:
        """Read a slice. A column that the table got after the file was written is null in it."""
        said = note_of(span.file)
        with opened_parquet(span.file) as opened:
            there = set(opened.schema_arrow.names) - said["partition"].keys()
            names = [name for name in columns.names if name in there]
            rows = live_slice(opened, said.get("live"), span.start, span.stop, names)
        found = [_column(span, field, rows, said["partition"]) for field in columns]
        return answer(span, columns, _table(found, columns, span.rows), {})


def _table(columns: list[pa.ChunkedArray], schema: pa.Schema, rows: int) -> pa.Table:
    return pa.Table.from_arrays(columns, schema=schema) if columns else pa.table({}).slice(0, rows)


def _column(
    span: Span, field: pa.Field, rows: pa.Table, partition: Mapping[str, str | None]
) -> pa.ChunkedArray:
    """Return one column: from the file, from the partition that it is in, or null."""
    if field.name in rows.column_names:
        return conform(span.file, rows[field.name], field)
    value = _partition_value(partition.get(field.name), field.type)
    return pa.chunked_array([pa.repeat(value, span.rows)])


def _partition_value(text: str | None, kind: pa.DataType) -> pa.Scalar:
    """Return a partition's value; the log writes times without their zone, which is UTC."""
    if text and pa.types.is_timestamp(kind) and kind.tz and not text.endswith("Z"):
        text += "Z"
    return pa.scalar(text, pa.string()).cast(kind)


@lru_cache(maxsize=16)
def _columns(table: str, home: str, version: int) -> pa.Schema:
    """Return the columns of a version of a table, which never change; once per process."""
    return offered(pa.schema(_opened(table, home, version).schema().to_arrow()))


def _opened(table: str, home: str, version: int | None) -> "DeltaTable":
    """Open a table. Raise UsageError when it cannot be."""
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, DeltaProtocolError, TableNotFoundError
    except ImportError:
        not_installed("delta", "deltalake")
    try:
        return DeltaTable(table, version=version, storage_options=_storage_options(home))
    except (DeltaError, DeltaProtocolError, TableNotFoundError, OSError, ValueError) as error:
        at = "" if version is None else f" at version {version}"
        raise UsageError(f"the Delta table {table!r} cannot be opened{at}: {error}") from None


def _address(root: Root) -> str:
    """Return what deltalake calls the table: a path, or a URI without secrets."""
    if not root.home:
        return root.path
    return f"{root.home.split('://')[0]}://{root.path}"


def _storage_options(home: str) -> dict[str, str]:
    """Return what the URI of a file system says, in deltalake's words."""
    parts = urlsplit(home)
    said = {key: values[0] for key, values in parse_qs(parts.query).items()}
    scheme = said.get("scheme", "https")
    endpoint = said.get("endpoint_override", "")
    found = {
        "AWS_REGION": said.get("region", ""),
        "AWS_ENDPOINT_URL": f"{scheme}://{endpoint}" if endpoint else "",
        "AWS_ALLOW_HTTP": "true" if scheme == "http" else "",
        "AWS_ACCESS_KEY_ID": unquote(parts.username or ""),
        "AWS_SECRET_ACCESS_KEY": unquote(parts.password or ""),
    }
    return {key: value for key, value in found.items() if value}


def _check_place(root: Root) -> None:
    """Refuse a folder that is no table, naming the tables below it."""
    system = file_system(root.home)
    infos = system.get_file_info([root.path, f"{root.path}/{LOG}"])
    if infos[0].type == fs.FileType.NotFound and infos[1].type == fs.FileType.NotFound:
        raise UsageError(missing(root, system))
    if infos[1].type == fs.FileType.NotFound:
        raise UsageError(
            f"source path {root.written!r} is no Delta table: {root.path} has no folder {LOG}"
            f"{_tables_in(root, system)}"
        )


def _tables_in(root: Root, system: fs.FileSystem) -> str:
    """Name the tables one folder further down, as the end of a message."""
    inside = system.get_file_info(fs.FileSelector(root.path, allow_not_found=True))
    folders = [info for info in inside if info.type == fs.FileType.Directory]
    logs = system.get_file_info([f"{folder.path}/{LOG}" for folder in folders])
    tables = [
        folder.base_name
        for folder, log in zip(folders, logs, strict=True)
        if log.type == fs.FileType.Directory
    ]
    if tables:
        return f"\n  tables in it: {', '.join(sorted(tables)[:10])}"
    return "\n  for a folder of Parquet files:  kind: parquet"


def _check_features(root: Root, table: "DeltaTable") -> None:
    """Refuse a table that needs what would be read wrong."""
    needed = set(table.protocol().reader_features or ()) - FEATURES
    mode = table.metadata().configuration.get("delta.columnMapping.mode", "none")
    if mode == "none":
        needed.discard("columnMapping")
    else:
        needed.add(f"columnMapping (mode {mode})")
    if needed:
        raise UsageError(
            f"the Delta table {root.written!r} needs reader features that are not supported: "
            f"{', '.join(sorted(needed))}\n"
            "  write a copy of the table without them, and read that"
        )


def _listed(root: Root, table: "DeltaTable") -> list[SourceFile]:
    """Return the files of the table's version."""
    live = _deletions(table)
    found = pa.table(table.get_add_actions(flatten=False))
    at = table.version()
    if "partition" in found.column_names:
        found = found.append_column("said", _as_text(found["partition"]))
    return [_source_file(root, at, row, live) for row in found.to_pylist()]


def _as_text(partitions: pa.ChunkedArray) -> pa.Array:
    """Return each file's partition values as text that casts back to the same values."""
    values = pa.concat_arrays(partitions.chunks) if partitions.num_chunks else partitions
    columns = [values.field(n).cast(pa.string()) for n in range(values.type.num_fields)]
    return pa.StructArray.from_arrays(columns, [field.name for field in values.type])


def _source_file(
    root: Root, at: int, row: Mapping[str, Any], live: Mapping[str, str]
) -> SourceFile:
    """Make the source file of an add action."""
    name = unquote(row["path"])
    _check_inside(root, name)
    note: dict[str, Any] = {"table": _address(root), "at": at, "partition": row.get("said") or {}}
    version = f"{row['size_bytes']}-{row['modification_time']}"
    if name in live:
        note["live"] = live[name]
        version += "-" + hashlib.sha256(live[name].encode()).hexdigest()[:12]
    path = f"{root.path}/{name}"
    return SourceFile(name, row["size_bytes"], version, path, root.home, json.dumps(note))


def _check_inside(root: Root, name: str) -> None:
    if "://" in name or name.startswith("/"):
        raise UsageError(
            f"the Delta table {root.written!r} has files elsewhere, such as {name!r}: a shallow "
            "clone is not supported\n  read the table that it is a clone of"
        )


def _deletions(table: "DeltaTable") -> dict[str, str]:
    """Return which rows are left, by name, of the files from which rows were deleted."""
    if "deletionVectors" not in (table.protocol().reader_features or ()):
        return {}
    found = pa.table(table.deletion_vectors()).to_pylist()
    root = unquote(urlsplit(table.table_uri).path).rstrip("/") + "/"
    return {
        unquote(urlsplit(row["filepath"]).path).removeprefix(root): packed(
            np.array(row["selection_vector"], bool)
        )
        for row in found
    }


def _rewritten(
    root: Root,
    table: "DeltaTable",
    files: Mapping[str, SourceFile],
    answered: Mapping[str, Any],
) -> dict[str, SourceFile]:
    """Return the files under whose names the rows are answered, or would be."""
    log = read_log(file_system(root.home), f"{root.path}/{LOG}", table.version())
    names = standing(files, answered.keys(), log.rewrites)
    made = {name for name in names if name not in files}
    some = next(iter(files.values()))
    return {name: files[name] for name in names - made} | {
        name: _replaced(root, note_of(some), log, name, answered) for name in made
    }


def _replaced(
    root: Root, said: Mapping[str, Any], log: Log, name: str, answered: Mapping[str, Any]
) -> SourceFile:
    """Make the source file of one that was compacted; it is still there until it is vacuumed."""
    versions = answered.get(name) or {log.version(name)}
    note = {"table": said["table"], "at": said["at"], "partition": log.partition(name)}
    path = f"{root.path}/{name}"
    version = min(versions)
    return SourceFile(name, int(version.split("-")[0]), version, path, root.home, json.dumps(note))
