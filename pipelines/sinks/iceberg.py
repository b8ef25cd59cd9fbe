"""Iceberg: a table of a catalog whose files are the parts of the output."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, field_validator

from actors.errors import SinkFailed, UsageError
from pipelines.sinks.table import Conflict, TableSink
from pipelines.sources.iceberg_table import no_secrets
from pipelines.sources.listing import shown
from pipelines.store import Store

OUTPUT, COLUMNS = "gristmill.output", "gristmill.columns"
"""Properties of the table: whose it is, and the columns that it was made with."""

MERGED = {
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "10",
    "write.metadata.delete-after-commit.enabled": "true",
}
"""Each publish adds a manifest and a metadata file; without merging, looking at a table of 250
publishes took 1.3 s."""

CATALOG_HELP = (
    "\n  see sink: catalog: in the pipeline file, such as\n"
    "    catalog: {name: local, type: sql, uri: 'sqlite:////data/catalog.db'}"
)
COMMITTED_HELP = "\n  every row is committed; run again to publish it"

URI_BREAKS = "?#%"
"""Characters of a folder's name that readers of Iceberg take for something else in a URI."""


class IcebergSink(TableSink):
    """A table of an Iceberg catalog; its files and metadata lie in `path`/iceberg."""

    kind: Literal["iceberg"] = "iceberg"
    folder: ClassVar[str] = "iceberg"
    table: str = Field(
        pattern=r"^[^.\s]+(\.[^.\s]+)+$", description="the table's name in its catalog: space.name"
    )
    catalog: dict[str, str] = Field(
        {}, description="properties of the catalog, as PyIceberg has them: name, type, uri"
    )

    @field_validator("catalog")
    @classmethod
    def _no_secrets(cls, given: dict[str, str]) -> dict[str, str]:
        """Properties are kept in each run's record, which is for everybody to read."""
        return no_secrets(given)

    def named(self, store: Store) -> str:
        """The table's name, and its catalog's."""
        catalog = self.catalog.get("name") or shown(self.catalog.get("uri", "default"))
        return f"{self.table} of catalog {catalog}"

    def again(self, store: Store) -> str:
        """The files are made again from the parts."""
        return f"drop the table {self.table} in its catalog"

    def check(self, store: Store, columns: pa.Schema) -> None:
        """Refuse what cannot work, before anything is loaded."""
        broken = [sign for sign in URI_BREAKS if sign in store.path]
        if broken:
            raise UsageError(
                f"sink kind iceberg cannot name files in {store.shown}: there is a {broken[0]!r} "
                "in it.\n  give the sink a folder without such characters"
            )
        super().check(store, columns)

    def snapshot(self, store: Store) -> "IcebergSnapshot | None":
        """The table's current snapshot."""
        with self._told():
            from pyiceberg.exceptions import NoSuchTableError

            try:
                table = self._catalog().load_table(self.table)
            except NoSuchTableError:
                return None
            owner = table.properties.get(OUTPUT)
            if owner != store.path:
                whose = f"the output {owner}" if owner else "another program"
                raise UsageError(
                    f"the table {self.named(store)} is there already, and of {whose}; this output "
                    f"is {store.path}.\n  give the sink another table name"
                )
            return _snapshot(self, table, _uri(store, self.folder))

    def create(self, store: Store, columns: pa.Schema) -> "IcebergSnapshot":
        """Make the table, without rows, and its namespace where there is none."""
        with self._told():
            from pyiceberg.exceptions import TableAlreadyExistsError

            catalog, columns = self._catalog(), columns.remove_metadata()
            catalog.create_namespace_if_not_exists(self.table.rpartition(".")[0])
            where = _uri(store, self.folder)
            ours = {OUTPUT: store.path, COLUMNS: str(columns), **MERGED}
            try:
                made = catalog.create_table(self.table, columns, location=where, properties=ours)
            except TableAlreadyExistsError as error:
                raise Conflict(str(error)) from None
            return _snapshot(self, made, where)

    def check_schema(self, store: Store, columns: pa.Schema) -> None:
        """Compare the columns with those that the table was made with."""
        with self._told():
            table = self._catalog().load_table(self.table)
        if table.properties.get(COLUMNS) != str(columns.remove_metadata()):
            names = ", ".join(f.name for f in table.schema().fields)
            raise UsageError(
                f"the table {self.named(store)} has other columns than this pipeline writes: "
                f"{names}.\n  give the sink another table name, and a new path"
            )

    def _catalog(self) -> Any:
        _needed()
        from pyiceberg.catalog import load_catalog

        given = {key: value for key, value in self.catalog.items() if key != "name"}
        return load_catalog(self.catalog.get("name", "default"), **given)

    @contextmanager
    def _told(self, help: str = CATALOG_HELP) -> Iterator[None]:
        """Turn what PyIceberg and its catalogs raise into errors of ours."""
        _needed()
        from pyiceberg import exceptions as they
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (they.CommitFailedException, they.CommitStateUnknownException) as error:
            raise Conflict(str(error)) from None
        except they.ValidationException as error:
            raise Conflict(str(error)) from None
        except (
            they.RESTError,
            they.NoSuchTableError,
            they.NoSuchNamespaceError,
            they.NotInstalledError,
            SQLAlchemyError,
            pa.ArrowException,
            ValueError,
            OSError,
        ) as error:
            where = shown(self.catalog.get("uri", self.catalog.get("name", "default")))
            raise UsageError(
                f"the table {self.table} of catalog {where} cannot be used: {_first(error)}.{help}"
            ) from None


@dataclass(frozen=True)
class IcebergSnapshot:
    """One snapshot of the table; `version` is its id, None while the table has no rows."""

    version: int | None
    names: frozenset[str]
    _sink: IcebergSink = field(repr=False)
    _table: Any = field(repr=False)
    _where: str = field(repr=False)
    _files: dict[str, Any] = field(repr=False)

    def swap(self, added: list[str], removed: list[str], run: str) -> None:
        """Add and take out files in one transaction, which makes one snapshot."""
        from pyiceberg.io.pyarrow import parquet_file_to_data_file

        table = self._table
        with _failing(), self._sink._told(COMMITTED_HELP), table.transaction() as transaction:
            metadata = transaction.table_metadata
            if metadata.name_mapping() is None:
                mapping = metadata.schema().name_mapping.model_dump_json()
                transaction.set_properties({"schema.name-mapping.default": mapping})
            update = transaction.update_snapshot({"gristmill.run": run})
            with update.overwrite() if removed else update.merge_append() as files:
                for name in removed:
                    files.delete_data_file(self._files[name])
                for name in added:
                    path = f"{self._where}/{name}"
                    files.append_data_file(parquet_file_to_data_file(table.io, metadata, path))


def _snapshot(sink: IcebergSink, table: Any, where: str) -> IcebergSnapshot:
    current = table.current_snapshot()
    manifests = current.manifests(table.io) if current else ()
    files = {
        entry.data_file.file_path.removeprefix(f"{where}/"): entry.data_file
        for manifest in manifests
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
    }
    version = current.snapshot_id if current else None
    return IcebergSnapshot(version, frozenset(files), sink, table, where, files)


def _uri(store: Store, folder: str) -> str:
    return f"file://{store.full(folder)}"


def _needed() -> None:
    try:
        import pyiceberg.catalog.sql
        import pyiceberg.io.pyarrow  # noqa: F401
    except ImportError:
        raise UsageError(
            "sink kind iceberg needs pyiceberg, which is not installed:  "
            "pip install 'gristmill[iceberg]'"
        ) from None


@contextmanager
def _failing() -> Iterator[None]:
    """In the middle of a run, a catalog that fails is no mistake in the file."""
    try:
        yield
    except UsageError as error:
        raise SinkFailed(str(error)) from None


def _first(error: Exception) -> str:
    return shown((str(error).splitlines() or [type(error).__name__])[0].rstrip("."))
