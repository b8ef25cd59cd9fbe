"""What table formats share: a table is a view of the output's parts, told of in its transactions.

The files of a table are second names of the parts: hard links, which take no room. A part may be
replaced or withdrawn at any time; the file that a snapshot names stays as it was. The name of a
file says which commit of which unit it is, so publishing twice is publishing once.
"""

import json
import re
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.errors import SinkFailed, UsageError
from pipelines.ledger import Ledger
from pipelines.lock import fenced
from pipelines.parts import Footer, read_footer
from pipelines.sinks.base import Sink
from pipelines.sinks.types import check_columns
from pipelines.sources.listing import shown
from pipelines.store import DATA, OURS, Store, sync_folder

RECORD = f"{OURS}/table.json"
"""Which table the output is published in; `show` reads it."""

TRIES = 5
"""Times that a publish is tried when other writers of the table are in its way."""

OUR_FILE = re.compile(r"part-[0-9a-f]{20}-\d{4,}-[0-9a-f]*\.parquet")

SHOWN = 3
"""Foreign files named in a message."""


class Conflict(Exception):
    """Another writer changed the table between our look at it and our transaction."""


class Snapshot(Protocol):
    """What a table holds at one moment.

    Names of files that lie in the sink's folder are without it; others are as the table has them.
    """

    @property
    def version(self) -> int | None:
        """The format's number of it, if it has one."""

    @property
    def names(self) -> frozenset[str]:
        """The names of its files."""

    def swap(self, added: list[str], removed: list[str], run: str) -> None:
        """Add and take out files in one transaction. Raises Conflict, SinkFailed."""


@dataclass(frozen=True, slots=True)
class Change:
    """What stands between a table and the ledger: parts to add, names of files to take out."""

    added: dict[str, Footer]
    removed: frozenset[str]


class TableSink(Sink):
    """Base of the sinks that publish the output's parts in a table."""

    is_table: ClassVar[bool] = True
    folder: ClassVar[str]
    """Where in the output the table's files lie."""

    @abstractmethod
    def named(self, store: Store) -> str:
        """The table, as messages name it."""

    @abstractmethod
    def again(self, store: Store) -> str:
        """What to do so that the next run publishes the table from the start."""

    @abstractmethod
    def snapshot(self, store: Store) -> Snapshot | None:
        """The table as it is now; None if there is none.

        Raise UsageError: a missing package, a catalog that does not answer, somebody else's table.
        """

    @abstractmethod
    def create(self, store: Store, columns: pa.Schema) -> Snapshot:
        """Make the table, without rows. Raise SinkFailed."""

    @abstractmethod
    def check_schema(self, store: Store, columns: pa.Schema) -> None:
        """Refuse a table of other columns. Raise UsageError."""

    def check(self, store: Store, columns: pa.Schema) -> None:
        """Refuse what cannot work, before anything is loaded; writes nothing. Raises UsageError."""
        if not store.is_local:
            raise UsageError(
                f"sink kind {self.folder} writes to folders of this machine; {store.shown} is in "
                "an object store.\n  give the sink a local path, or take kind: parquet"
            )
        check_columns(columns, self.folder)
        snapshot = self.snapshot(store)
        if snapshot is not None:
            self.check_schema(store, columns)
            if found := foreign(snapshot.names):
                raise UsageError(self._foreign(store, found))

    def publish(
        self, store: Store, ledger: Ledger, columns: pa.Schema, run: str, settled: bool = True
    ) -> None:
        """Make the table hold exactly the parts of the ledger, in one transaction."""
        with fenced(store, run):
            self._record(store)
            store.system.create_dir(store.full(self.folder))
            for _ in range(TRIES):
                try:
                    return self._publish(store, ledger, columns, run, settled)
                except Conflict:
                    continue
        raise SinkFailed(
            f"the table {self.named(store)} is being changed by others: {TRIES} tries to publish "
            "came too late.\n  every row is committed; run again to publish it"
        )

    def state(self, store: Store, ledger: Ledger) -> dict[str, Any]:
        """Which table, at which version, and how far it is behind the ledger."""
        snapshot = self.snapshot(store)
        names = snapshot.names if snapshot else frozenset()
        change = difference(ledger, names)
        return {
            "kind": self.folder,
            "table": self.named(store),
            "version": snapshot.version if snapshot else None,
            "parts": len(names),
            "to_add": len(change.added),
            "to_remove": len(change.removed),
            "up_to_date": snapshot is not None and not (change.added or change.removed),
        }

    def _publish(
        self, store: Store, ledger: Ledger, columns: pa.Schema, run: str, settled: bool
    ) -> None:
        try:
            snapshot = self.snapshot(store) or self.create(store, columns)
        except UsageError as error:
            raise SinkFailed(f"{error}\n  every row is committed in {store.shown}") from None
        if found := foreign(snapshot.names):
            raise SinkFailed(self._foreign(store, found))
        change = difference(ledger, snapshot.names)
        if not settled:
            change = self._without_swaps(store, ledger, change)
        added = [name for name, part in change.added.items() if self._pin(store, name, part)]
        if added or change.removed:
            sync_folder(Path(store.full(self.folder)))
            snapshot.swap(added, sorted(change.removed), run)

    def _without_swaps(self, store: Store, ledger: Ledger, change: Change) -> Change:
        """Only what can be added while all that is there stays: parts of other source files."""
        held: set[str] = set()
        for name in change.removed:
            held |= _files_in(store, f"{self.folder}/{name}")
        added = {
            name: part
            for name, part in change.added.items()
            if held.isdisjoint(a.file for a in ledger.units[part.unit][0].answers)
        }
        return Change(added, frozenset())

    def _pin(self, store: Store, name: str, part: Footer) -> bool:
        """Give a part its name in the table; False if it was replaced since the ledger was read."""
        place = f"{self.folder}/{name}"
        try:
            store.alias(f"{DATA}/{part.name}", place)
        except FileNotFoundError:
            return False
        found = read_footer(store, self.folder, name)
        if found is None or found.commit != part.commit:
            store.delete(place)
            return False
        return True

    def _foreign(self, store: Store, found: list[str]) -> str:
        names = ", ".join(found[:SHOWN])
        return (
            f"the table {self.named(store)} holds {len(found)} files that gristmill did not put "
            f"there: {names}.\n  another program compacted it or wrote to it, and adding to it "
            f"could show rows twice.\n  every row is safe in {store.shown}/{DATA}; to publish it "
            f"anew, {self.again(store)}, and run again"
        )

    def _record(self, store: Store) -> None:
        """Note which table it is, without what URIs may hold of secrets."""
        said = _shown(self.model_dump(mode="json"))
        content = json.dumps(said, indent=1).encode()
        if store.read(RECORD) != content:
            store.put(RECORD, content)


def file_name(part: Footer) -> str:
    """The name of a part's file in a table: of its unit, generation and commit."""
    return f"part-{part.unit}-{part.generation:04d}-{part.commit}.parquet"


def difference(ledger: Ledger, names: Iterable[str]) -> Change:
    """What has to be done so that files of these names become the ledger's parts with rows."""
    parts = (part for unit in ledger.units.values() for part in unit if part.rows)
    wanted = {file_name(part): part for part in parts}
    there = frozenset(names)
    added = {name: part for name, part in wanted.items() if name not in there}
    return Change(added, there - wanted.keys())


def foreign(names: Iterable[str]) -> list[str]:
    """The files that are not ours."""
    return sorted(name for name in names if not OUR_FILE.fullmatch(name))


def _files_in(store: Store, name: str) -> set[str]:
    """The source files that a table's file has rows of. Raises SinkFailed if it is gone."""
    try:
        with store.open(name) as file:
            found = pc.unique(pq.read_table(file, columns=["_source"])["_source"])
    except FileNotFoundError:
        raise SinkFailed(f"{store.path}/{name} is gone, and its table still names it.") from None
    return set(found.to_pylist())


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shown(inner) for key, inner in value.items()}
    return shown(value) if isinstance(value, str) else value
