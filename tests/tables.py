"""Tables as their readers see them: every snapshot that there ever was."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from deltalake import DeltaTable
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table

from pipelines.sinks import DeltaSink, IcebergSink, Sink
from tests.mill import Crashing

KINDS = ("delta", "iceberg")


def sink_of(kind: str, folder: Path) -> dict:
    """The sink block of an output `out` in a folder, with the catalog beside it."""
    sink: dict = {"kind": kind, "path": "out"}
    if kind == "iceberg":
        uri = f"sqlite:///{folder}/catalog.db"
        sink |= {"table": "tests.rows", "catalog": {"name": "local", "type": "sql", "uri": uri}}
    return sink


def plain_sink(kind: str, folder: Path) -> Sink:
    """The sink of that block."""
    made = {"delta": DeltaSink, "iceberg": IcebergSink}[kind]
    return made(**sink_of(kind, folder))


def iceberg(folder: Path) -> Table | None:
    """The Iceberg table of that sink."""
    try:
        uri = f"sqlite:///{folder}/catalog.db"
        return load_catalog("local", type="sql", uri=uri).load_table("tests.rows")
    except NoSuchTableError:
        return None


def versions(kind: str, folder: Path, start: int = 0) -> Iterator[list[dict]]:
    """The rows of each snapshot of the table, oldest first, without the first `start`."""
    if kind == "delta":
        where = str(folder / "out" / "delta")
        last = DeltaTable(where).version() if DeltaTable.is_deltatable(where) else -1
        for version in range(start, last + 1):
            yield DeltaTable(where, version=version).to_pyarrow_table().to_pylist()
    else:
        table = iceberg(folder)
        for snapshot in table.snapshots()[start:] if table else ():
            yield table.scan(snapshot_id=snapshot.snapshot_id).to_arrow().to_pylist()


def rows(kind: str, folder: Path) -> list[dict]:
    """The rows of the table as it is now."""
    if kind == "delta":
        return DeltaTable(str(folder / "out" / "delta")).to_pyarrow_table().to_pylist()
    return iceberg(folder).scan().to_arrow().to_pylist()


def newest(kind: str, folder: Path) -> list[dict]:
    """The rows of the table as it is now; none if there is no table yet."""
    is_there = iceberg(folder) if kind == "iceberg" else (folder / "out/delta/_delta_log").exists()
    return rows(kind, folder) if is_there else []


class _Stepping:
    """A snapshot whose transaction is a step, before which and after which a process may die."""

    def __init__(self, inner, store: Crashing) -> None:
        self._inner, self._store = inner, store
        self.version, self.names = inner.version, inner.names

    def swap(self, added: list[str], removed: list[str], run: str) -> None:
        self._store.step()
        self._inner.swap(added, removed, run)
        self._store.step()


class _CrashingTable:
    def snapshot(self, store):
        found = super().snapshot(store)
        return _Stepping(found, store) if found and isinstance(store, Crashing) else found

    def create(self, store, columns):
        store.step()
        made = super().create(store, columns)
        store.step()
        return _Stepping(made, store)


class _LateTable:
    """Others change the table after each look of ours, as long as `others` has something to do."""

    others: ClassVar[list] = []

    def snapshot(self, store):
        found = super().snapshot(store)
        if found and self.others:
            self.others.pop()()
        return found


class _LateDelta(_LateTable, DeltaSink):
    pass


class _LateIceberg(_LateTable, IcebergSink):
    pass


def late_sink(kind: str, folder: Path) -> Sink:
    """A sink whose table others change between its look and its transaction."""
    made = {"delta": _LateDelta, "iceberg": _LateIceberg}[kind]
    return made(**sink_of(kind, folder))


class _CrashingDelta(_CrashingTable, DeltaSink):
    pass


class _CrashingIceberg(_CrashingTable, IcebergSink):
    pass


def crashing_sink(kind: str, folder: Path) -> Sink:
    """A sink whose steps crash with its store."""
    made = {"delta": _CrashingDelta, "iceberg": _CrashingIceberg}[kind]
    return made(**sink_of(kind, folder))
