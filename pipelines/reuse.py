"""`--reuse OLD_OUT`: take over the columns of stages that did not change, row by row."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.errors import UsageError
from pipelines.ledger import Ledger, read_ledger
from pipelines.plan import Plan
from pipelines.record import records
from pipelines.store import DATA, Store
from pipelines.units import Span, Unit

REUSED = "_reused"
"""Whether a row has old answers; carried through the unchanged stages."""


@dataclass(frozen=True)
class Reuse:
    """What can be taken over: the first `steps` steps, whose `columns` stand in these parts.

    `parts` maps (file, version) to (start, stop, names of the parts that hold the rows).
    """

    store: Store
    steps: int
    columns: tuple[str, ...]
    parts: dict[tuple[str, str], list[tuple[int, int, tuple[str, ...]]]]

    def rows(self, unit: Unit) -> pa.Table | None:
        """The old answers for a unit's rows: `_source`, `_row` and the columns.

        A part may hold other files too, whose rows are now at another version: these do not count.
        """
        found: dict[str, set[str]] = defaultdict(set)
        for span in unit.spans:
            for name in self._parts_of(span):
                found[name].add(span.file.name)
        tables = [self._read(name, sorted(files)) for name, files in found.items()]
        return pa.concat_tables(tables) if tables else None

    def _parts_of(self, span: Span) -> Iterable[str]:
        for start, stop, names in self.parts.get((span.file.name, span.file.version), ()):
            if start < span.stop and span.start < stop:
                yield from names

    def _read(self, name: str, files: list[str]) -> pa.Table:
        with self.store.open(f"{DATA}/{name}") as file:
            table = pq.read_table(file, columns=["_source", "_row", *self.columns])
        return table.filter(pc.is_in(table["_source"], pa.array(files)))


def reuse_of(store: Store, plan: Plan) -> Reuse:
    """What an older output has for this plan. Raises UsageError when it is nothing."""
    ledger = read_ledger(store)
    old = [r for r in records(store) if r.fingerprint in ledger.fingerprints]
    if not old:
        raise UsageError(f"--reuse {store.shown}: this is no output of gristmill with any rows.")
    before, now = old[-1].description, plan.description
    same = 0
    if before.get("source") != now["source"]:
        raise UsageError(
            f"--reuse {store.shown}: nothing can be taken over, because its source was read with "
            "other options.\n  run without --reuse to answer everything anew"
        )
    for a, b in zip(before["steps"], now["steps"], strict=False):
        if a != b:
            break
        same += 1
    columns = _columns(plan, same)
    missing = [c for c in columns if c not in before["columns"]]
    if not same or missing:
        why = f"it did not keep {', '.join(missing)}" if missing else "its first stage differs"
        raise UsageError(
            f"--reuse {store.shown}: nothing can be taken over, because {why}.\n"
            "  run without --reuse to answer everything anew"
        )
    return Reuse(store, same, columns, index_of(ledger))


def _columns(plan: Plan, steps: int) -> tuple[str, ...]:
    """Columns of the unchanged steps that later steps read or that are kept."""
    made = {c for step in plan.steps[:steps] for c in step.outputs.values()}
    needed = {c for step in plan.steps[steps:] for c in step.inputs.values()}
    return tuple(sorted(made & (needed | set(plan.columns.names))))


def index_of(ledger: Ledger) -> dict[tuple[str, str], list[tuple[int, int, tuple[str, ...]]]]:
    """Which parts hold which rows: (file, version) -> (start, stop, names)."""
    index: dict[tuple[str, str], list[tuple[int, int, tuple[str, ...]]]] = defaultdict(list)
    for parts in ledger.units.values():
        names = tuple(footer.name for footer in parts)
        for a in parts[0].answers:
            index[a.file, a.version].append((a.start, a.stop, names))
    return dict(index)


def take_over(table: pa.Table, old: pa.Table | None, columns: Iterable[str]) -> pa.Table:
    """Add REUSED and, where a row has old answers, their columns; null elsewhere."""
    if old is None:
        return table.append_column(REUSED, pa.array([False] * table.num_rows))
    place = {
        key: n
        for n, key in enumerate(
            zip(old["_source"].to_pylist(), old["_row"].to_pylist(), strict=True)
        )
    }
    keys = zip(table["_source"].to_pylist(), table["_row"].to_pylist(), strict=True)
    indices = pa.array([place.get(key) for key in keys], pa.int64())
    for name in columns:
        table = table.append_column(name, old[name].take(indices))
    return table.append_column(REUSED, pc.is_valid(indices))
