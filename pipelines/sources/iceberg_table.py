"""An Iceberg table at one moment, through PyIceberg: its files, its columns, what it replaced.

PyIceberg reads whole files only. A unit is a slice of one, so what PyIceberg does to a batch that
it has read (columns by id, types, partition values) is used directly; its version is bounded in
pyproject.toml, and the tests go through every such use.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from actors.errors import UsageError, nearest
from pipelines.sources.lineage import Rewrite
from pipelines.sources.listing import shown
from pipelines.sources.tables import SHOWN, not_installed, packed
from pipelines.units import SourceFile

SECRET = ("secret", "password", "token", "credential", "access-key", "session")
"""Parts of the names of catalog properties that do not belong in a file."""

METADATA = ".metadata.json"
"""How the names of metadata files end."""


@dataclass(frozen=True)
class Opened:
    """A table as one metadata file describes it; `at` is a snapshot, or None for the newest."""

    table: Any
    properties: str
    at: int | None

    @property
    def schema(self) -> Any:
        """The columns: the table's own, or those of the snapshot that was asked for."""
        return self.table.scan(snapshot_id=self.at).projection()

    def arrow_schema(self) -> pa.Schema:
        """The columns in Arrow's types, text in the ordinary layout."""
        from pyiceberg.io.pyarrow import _pyarrow_schema_ensure_small_types

        schema: pa.Schema = _pyarrow_schema_ensure_small_types(self.schema.as_arrow())
        return schema.remove_metadata()

    def input(self, file: SourceFile) -> Any:
        """The file, as PyIceberg opens it."""
        return self.table.io.new_input(file.path)

    def files(self) -> list[SourceFile]:
        """The data files. Raise ValueError for what PyIceberg does not read."""
        return [self.source_file(task.file, deletions=task) for task in self.tasks]

    @property
    def tasks(self) -> list[Any]:
        """What PyIceberg would read: data files with the files of their deleted rows."""
        return list(self.table.scan(snapshot_id=self.at).plan_files())

    def name(self, path: str) -> str:
        """The name of a data file, relative to the table."""
        return path.removeprefix(self.table.location().rstrip("/") + "/")

    def source_file(
        self, data: Any, deletions: Any = None, versions: AbstractSet[str] | None = None
    ) -> SourceFile:
        """Make the source file of a data file. `versions` are those that are answered."""
        if data.file_format.name != "PARQUET":
            raise ValueError(f"its file {data.file_path} is {data.file_format.name}, not Parquet")
        note = {
            "metadata": self.table.metadata_location,
            "properties": self.properties,
            "at": self.at,
        }
        version = f"{data.file_size_in_bytes}-0"
        if deletions is not None and deletions.delete_files:
            note["live"] = _live(self.table.io, deletions)
            version += "-" + hashlib.sha256(note["live"].encode()).hexdigest()[:12]
        version = min(versions) if versions else version
        name, size = self.name(data.file_path), data.file_size_in_bytes
        return SourceFile(name, size, version, data.file_path, note=json.dumps(note))


@lru_cache(maxsize=16)
def opened_at(metadata: str, properties: str, at: int | None) -> Opened:
    """Open what a metadata file describes, which never changes; once per process."""
    needed()
    from pyiceberg.table import StaticTable

    table = StaticTable.from_metadata(metadata, json.loads(properties))
    if at is not None and table.snapshot_by_id(at) is None:
        there = ", ".join(str(step.snapshot_id) for step in table.snapshots()[-SHOWN:])
        raise UsageError(f"the table has no snapshot {at}\n  snapshots there: {there or 'none'}")
    return Opened(table, properties, at)


def loaded(catalog: Mapping[str, str], name: str) -> Any:
    """Load a table from its catalog."""
    needed()
    from pyiceberg.catalog import load_catalog
    from pyiceberg.exceptions import NoSuchTableError

    given = {key: value for key, value in catalog.items() if key != "name"}
    found = load_catalog(catalog.get("name", "default"), **given)
    try:
        return found.load_table(name)
    except NoSuchTableError:
        raise UsageError(_no_table(found, name)) from None


def _no_table(catalog: Any, name: str) -> str:
    """Say that there is no such table, and what there is."""
    space = name.rpartition(".")[0]
    spaces = [".".join(found) for found in catalog.list_namespaces()]
    if space not in spaces:
        return (
            f"the catalog {catalog.name!r} has no namespace {space!r}{nearest(space, spaces)}\n"
            f"  namespaces there: {', '.join(sorted(spaces)) or 'none'}"
        )
    tables = [".".join(found) for found in catalog.list_tables(space)]
    return (
        f"the catalog {catalog.name!r} has no table {name!r}{nearest(name, tables)}\n"
        f"  tables there: {', '.join(sorted(tables)[:10]) or 'none'}"
    )


def metadata_file(path: str, base: Path) -> str:
    """Return the metadata file that a path names: itself, or the newest one of a table's folder."""
    if "://" in path:
        return path
    place = (base / path).absolute()
    if place.is_file():
        return f"file://{place}"
    found = sorted((place / "metadata").glob(f"*{METADATA}"), key=lambda p: p.stat().st_mtime_ns)
    if not found:
        raise UsageError(
            f"source path {path!r} is no Iceberg table: there is no metadata/*{METADATA} in {place}"
        )
    return f"file://{found[-1]}"


def no_secrets(catalog: dict[str, str]) -> dict[str, str]:
    """Return a catalog's properties. Raise ValueError for those that hold secrets."""
    for key in catalog:
        if any(word in key.lower() for word in SECRET):
            name = catalog.get("name", "default")
            raise ValueError(
                f"holds {key!r}: secrets do not belong in a pipeline file. Put it into "
                f"~/.pyiceberg.yaml or the environment, under the catalog's name {name!r}"
            )
    return catalog


def needed() -> None:
    """Raise UsageError when PyIceberg is not installed."""
    try:
        import pyiceberg  # noqa: F401
    except ImportError:
        not_installed("iceberg", "pyiceberg")


@contextmanager
def told(name: str) -> Iterator[None]:
    """Turn what PyIceberg and its catalogs raise into UsageError."""
    needed()
    from pyiceberg import exceptions as they
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (
        they.RESTError,
        they.NoSuchNamespaceError,
        they.NotInstalledError,
        they.ValidationError,
        SQLAlchemyError,
        pa.ArrowException,
        ValueError,
        OSError,
    ) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"the Iceberg table {shown(name)} cannot be read: {said}") from None


@dataclass(frozen=True)
class Projection:
    """How the columns of one file become those of the table; `names` are read from the file."""

    names: list[str]
    wanted: Any
    file_schema: Any
    missing: dict[int, Any]

    def apply(self, rows: pa.Table, columns: pa.Schema) -> pa.Table:
        """Return the rows in the columns asked for."""
        from pyiceberg.io.pyarrow import _to_requested_schema

        if not len(columns):
            return rows
        batches = [
            _to_requested_schema(
                self.wanted,
                self.file_schema,
                batch,
                downcast_ns_timestamp_to_us=True,
                projected_missing_fields=self.missing,
                allow_timestamp_tz_mismatch=True,
            )
            for batch in rows.to_batches()
        ]
        return pa.Table.from_batches(batches).select(columns.names).cast(columns)


def projected(opened: Opened, file: SourceFile, found: pa.Schema, names: list[str]) -> Projection:
    """Say which columns of a file to read for these of the table."""
    from pyiceberg.io.pyarrow import _get_column_projection_values, pyarrow_to_schema
    from pyiceberg.schema import prune_columns

    table = opened.table
    wanted = opened.schema.select(*names) if names else opened.schema.select()
    there = pyarrow_to_schema(found, table.name_mapping(), downcast_ns_timestamp_to_us=True)
    data = _data_file(opened, file.path)
    missing = _get_column_projection_values(
        data, wanted, opened.schema, table.specs().get(data.spec_id), there.field_ids
    )
    read = prune_columns(there, _ids(wanted), select_full_types=False)
    # Where none of the columns is in the file, any other one tells how many rows there are.
    some = [column.name for column in read.columns] or (found.names[:1] if names else [])
    return Projection(some, wanted, read, missing)


def _ids(schema: Any) -> set[int]:
    """The ids of a schema's values: all but those of structs, lists and maps, as PyIceberg does."""
    from pyiceberg.types import ListType, MapType

    return {
        number
        for number in schema.field_ids
        if not isinstance(schema.find_type(number), MapType | ListType)
    }


def _data_file(opened: Opened, path: str) -> Any:
    """What the table says of a data file, also of one that it has replaced."""
    files = _data_files(opened.table.metadata_location, opened.properties, opened.at)
    return files[path] if path in files else replacements(opened).files[opened.name(path)]


@lru_cache(maxsize=4)
def _data_files(metadata: str, properties: str, at: int | None) -> dict[str, Any]:
    """The data files of a snapshot by path; once per process."""
    return {task.file.file_path: task.file for task in opened_at(metadata, properties, at).tasks}


def _live(io: Any, task: Any) -> str:
    """Return which rows of a file are left."""
    from pyiceberg.io.pyarrow import _read_all_delete_files

    live = np.ones(task.file.record_count, bool)
    for found in _read_all_delete_files(io, [task]).get(task.file.file_path, []):
        live[found.to_numpy()] = False
    return packed(live)


@dataclass(frozen=True)
class History:
    """What a table replaced without changing a row, oldest first, and those files by name."""

    rewrites: list[Rewrite] = field(default_factory=list)
    files: dict[str, Any] = field(default_factory=dict)


def replacements(opened: Opened) -> History:
    """Read the snapshots that are still there, up to the one that is read."""
    history = History()
    snapshot = opened.table.scan(snapshot_id=opened.at).snapshot()
    for step in reversed(list(_ancestors(opened.table, snapshot))):
        if step.summary is not None and step.summary.operation.name == "REPLACE":
            _add(history, opened, step)
    return history


def _ancestors(table: Any, snapshot: Any) -> Iterator[Any]:
    while snapshot is not None:
        yield snapshot
        parent = snapshot.parent_snapshot_id
        snapshot = table.snapshot_by_id(parent) if parent is not None else None


def _add(history: History, opened: Opened, step: Any) -> None:
    """Note what one snapshot replaced, unless deleted rows were left behind on the way."""
    from pyiceberg.manifest import DataFileContent, ManifestEntryStatus

    io = opened.table.io
    entries = [
        entry
        for manifest in step.manifests(io)
        if manifest.added_snapshot_id == step.snapshot_id
        for entry in manifest.fetch_manifest_entry(io, discard_deleted=False)
        if entry.snapshot_id == step.snapshot_id and entry.data_file.content == DataFileContent.DATA
    ]
    added = [e.data_file for e in entries if e.status == ManifestEntryStatus.ADDED]
    removed = [e.data_file for e in entries if e.status == ManifestEntryStatus.DELETED]
    if sum(f.record_count for f in added) == sum(f.record_count for f in removed):
        old, new = ({opened.name(f.file_path): f for f in files} for files in (removed, added))
        history.rewrites.append(Rewrite(frozenset(old), frozenset(new)))
        history.files.update(old)
