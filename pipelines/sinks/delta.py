"""Delta Lake: the folder `delta` of the output is a Delta table of its parts."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from actors.errors import SinkFailed, UsageError
from pipelines.sinks.table import Conflict, TableSink
from pipelines.store import Store

LONGEST = 64
"""Characters of the longest text whose least and greatest value are told: longer ones may be cut
short, and would make the log large."""

NO_RETRIES = 0
"""Our transaction holds only for the version that we looked at. deltalake 1.6 would repeat it after
another one's compaction, whose rows then stand beside those that take their place."""


class DeltaSink(TableSink):
    """A Delta table, `path`/delta, for Spark, DuckDB, Polars and other readers of Delta."""

    kind: Literal["delta"] = "delta"
    folder: ClassVar[str] = "delta"

    def named(self, store: Store) -> str:
        """The table's folder."""
        return store.full(self.folder)

    def again(self, store: Store) -> str:
        """Without a log there is no table."""
        return f"delete the folder {self.named(store)}"

    def snapshot(self, store: Store) -> "DeltaSnapshot | None":
        """The table's newest version."""
        where = self.named(store)
        with _needed(), _told(where):
            from deltalake import DeltaTable

            if not DeltaTable.is_deltatable(where):
                return None
            return _snapshot(where, DeltaTable(where))

    def create(self, store: Store, columns: pa.Schema) -> "DeltaSnapshot":
        """Make the table, without rows."""
        where = self.named(store)
        with _told(where):
            from deltalake import DeltaTable, Schema

            schema = Schema.from_arrow(columns.remove_metadata())
            return _snapshot(where, DeltaTable.create(where, schema, name="gristmill"))

    def check_schema(self, store: Store, columns: pa.Schema) -> None:
        """Compare the columns, by names and Delta's types."""
        from deltalake import DeltaTable, Schema

        where = self.named(store)
        with _told(where):
            there = json.loads(DeltaTable(where).schema().to_json())["fields"]
        wanted = json.loads(Schema.from_arrow(columns.remove_metadata()).to_json())["fields"]
        if there != wanted:
            names = ", ".join(f["name"] for f in there)
            raise UsageError(
                f"the table {where} has other columns than this pipeline writes: {names}.\n"
                f"  give the sink a new path, or {self.again(store)}"
            )


@dataclass(frozen=True)
class DeltaSnapshot:
    """One version of the table in the folder `where`."""

    where: str
    version: int | None
    names: frozenset[str]
    _table: Any = field(repr=False)

    def swap(self, added: list[str], removed: list[str], run: str) -> None:
        """Add and take out files in one transaction."""
        from deltalake import CommitProperties
        from deltalake.transaction import RemoveAction

        now = int(time.time() * 1000)
        actions = [_add(self.where, name) for name in added]
        actions += [
            RemoveAction(name, data_change=True, deletion_timestamp=now) for name in removed
        ]
        with _told(self.where):
            self._table.create_write_transaction(
                actions,
                mode="append",
                schema=self._table.schema(),
                commit_properties=CommitProperties({"gristmill.run": run}, NO_RETRIES),
            )


def _snapshot(where: str, table: Any) -> DeltaSnapshot:
    names = pa.table(table.get_add_actions())["path"].to_pylist()
    return DeltaSnapshot(where, table.version(), frozenset(names), table)


def _add(where: str, name: str) -> Any:
    """The action that adds a file, with what lets readers pass it over."""
    from deltalake.transaction import AddAction

    path = Path(where, name)
    told = path.stat()
    stats = json.dumps(_statistics(pq.read_metadata(path)))
    return AddAction(name, told.st_size, {}, int(told.st_mtime * 1000), True, stats)


def _statistics(metadata: pq.FileMetaData) -> dict[str, Any]:
    """Rows, and the least and greatest value of whole numbers and short texts."""
    least: dict[str, Any] = {}
    greatest: dict[str, Any] = {}
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            found, name = column.statistics, column.path_in_schema
            if found is None or not found.has_min_max or not _is_telling(found.max, found.min):
                continue
            least[name] = min(least.get(name, found.min), found.min)
            greatest[name] = max(greatest.get(name, found.max), found.max)
    if metadata.num_row_groups != 1:  # a group without figures would not be counted
        least = greatest = {}
    return {"numRecords": metadata.num_rows, "minValues": least, "maxValues": greatest}


def _is_telling(*values: Any) -> bool:
    return all(
        (isinstance(value, int) and not isinstance(value, bool))
        or (isinstance(value, str) and len(value) <= LONGEST)
        for value in values
    )


@contextmanager
def _needed() -> Iterator[None]:
    try:
        import deltalake  # noqa: F401
    except ImportError:
        raise UsageError(
            "sink kind delta needs deltalake, which is not installed:  "
            "pip install 'gristmill[delta]'"
        ) from None
    yield


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Turn what deltalake raises into errors of ours."""
    from deltalake.exceptions import CommitFailedError, DeltaError

    try:
        yield
    except CommitFailedError as error:
        raise Conflict(str(error)) from None
    except (DeltaError, OSError) as error:
        raise SinkFailed(
            f"the table {where} cannot be used: {_first(error)}.\n"
            "  what is committed stays; run again to publish it"
        ) from None


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
