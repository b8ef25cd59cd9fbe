"""A run without Ray: a corpus of made-up files is answered into an output, unit by unit.

It takes the lock, recovers, withdraws, cuts and commits with the same code as a real run, so that
a crash can be put between any two steps of it.
"""

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipelines.held import recover_all, release
from pipelines.ledger import Ledger, read_counting, read_ledger, recover, rejected_rows
from pipelines.lock import NAME, Lock
from pipelines.parts import KEYS, REJECT, REJECT_TYPE, Footer, answers_of, commit
from pipelines.sinks import ParquetSink, Sink
from pipelines.spec import Pipeline
from pipelines.state import drops, sort_files, withdraw_old
from pipelines.store import DATA, REJECTS, Store
from pipelines.units import Cutter, Extent, SourceFile, Unit, pieces

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = pa.schema([*KEYS, ("text", pa.string())])
PARQUET = ParquetSink(path="out")
SCHEMA = COLUMNS.append(pa.field(REJECT, REJECT_TYPE))

Place = tuple[str, int]


@dataclass(frozen=True)
class Corpus:
    """Files as name -> (rows, version), and the places that are rejected."""

    files: Mapping[str, tuple[int, str]]
    bad: frozenset[Place] = frozenset()

    def extents(self) -> dict[str, Extent]:
        return {
            name: Extent(SourceFile(name, rows, version, f"/{name}"), rows, rows)
            for name, (rows, version) in self.files.items()
        }

    def table(self, unit: Unit) -> pa.Table:
        """The unit's rows as they come out of the last stage."""
        rows = [
            {"_source": s.file.name, "_row": row, "text": s.file.version, REJECT: self._why(s, row)}
            for s in unit.spans
            for row in range(s.start, s.stop)
        ]
        return pa.Table.from_pylist(rows, schema=SCHEMA)

    def _why(self, span, row: int):
        if (span.file.name, row) not in self.bad:
            return None
        return {"stage": "echo", "reason": "bad", "message": "a bad row", "when": WHEN}

    def places(self) -> dict[Place, str]:
        """Where each row must end: its version, or "rejected"."""
        return {
            (name, row): "rejected" if (name, row) in self.bad else version
            for name, (rows, version) in self.files.items()
            for row in range(rows)
        }


class Crash(Exception):
    """The process would be dead here."""


@dataclass(frozen=True)
class Crashing(Store):
    """A store whose process dies before the step after the next `left[0]` puts and deletes."""

    left: list[int] = field(default_factory=list)

    def put(self, name, content) -> None:
        self.step()
        super().put(name, content)

    def delete(self, name: str) -> None:
        self.step()
        super().delete(name)

    def move(self, name: str, to: str) -> None:
        self.step()
        super().move(name, to)

    def alias(self, name: str, other: str) -> None:
        self.step()
        super().alias(name, other)

    def step(self) -> None:
        if self.left[0] <= 0:
            # What a process that dies while it writes leaves behind.
            Path(self.full("_gristmill/aside"), secrets.token_hex(4)).write_bytes(b"half a part")
            raise Crash
        self.left[0] -= 1


def run(
    store: Store,
    corpus: Corpus,
    retry: bool = False,
    rows: int = 3,
    on_delete: str = "keep",
    sink: Sink = PARQUET,
    gates: str | None = None,
) -> None:
    """Answer what is not answered, in units of `rows` rows; with `retry`, what is rejected too.

    A table is published after each unit. With `gates`, rows are held, and released if it is "hold".
    """
    store.prepare()
    target = store.held if gates else store
    target.prepare()
    run_id = secrets.token_hex(3)
    with Lock(store, run_id).held():
        ledger = recover_all(store, run_id)
        extents = corpus.extents()
        files = sort_files([extent.file for extent in extents.values()], ledger)
        changing = pipeline(on_delete, gates)
        dropped = files.deleted if drops(changing, files) else ()
        ledger, files = withdraw_old(changing, store, ledger, files, run_id)
        waiting = (
            piece
            for file in files.todo
            for piece in pieces(extents[file.name], ledger.answered(file))
        )
        retries = list(_retries(store, ledger, extents)) if retry else []
        publish(store, sink, run_id, settled=False)
        for unit, part, generation, tried in (*retries, *_units(waiting, rows)):
            said = footer(corpus, unit, part, generation, run_id)
            commit(target, corpus.table(unit), said, tried)
            publish(store, sink, run_id, settled=False)
        if gates == "hold":
            release(store, run_id, {}, dropped)
        publish(store, sink, run_id, settled=True)


def publish(store: Store, sink: Sink, run_id: str, settled: bool) -> None:
    """Bring the table, if it is one, up to what counts."""
    if sink.is_table:
        sink.publish(store, read_counting(store), COLUMNS, run_id, settled)


def pipeline(on_delete: str, gates: str | None) -> Pipeline:
    """What says that changed files are answered anew, and what becomes of deleted ones."""
    return Pipeline(
        name="mill",
        source={"kind": "text", "path": "in"},
        stages=[{"task": "ner"}],
        on_change="reprocess",
        on_delete=on_delete,
        gates={"rows": {"min": 0}} if gates else None,
        sink={"path": "out"},
    )


def footer(corpus: Corpus, unit: Unit, part: str, generation: int, run_id: str) -> Footer:
    """What the part that answers a unit says of itself."""
    places = [(s.file.name, row) for s in unit.spans for row in range(s.start, s.stop)]
    rejected = sum(place in corpus.bad for place in places)
    return Footer(
        unit=part,
        generation=generation,
        run=run_id,
        rows=unit.rows - rejected,
        rejected=rejected,
        answers=() if generation else answers_of(unit),
        fingerprint="f",
    )


Order = tuple[Unit, str, int, dict[Place, int]]


def _units(waiting, rows: int) -> Iterator[Order]:
    cutter = Cutter(waiting, 1 << 30)
    while unit := cutter.next(rows):
        yield unit, unit.id, 0, {}


def _retries(store: Store, ledger: Ledger, extents: dict[str, Extent]) -> Iterator[Order]:
    for found in rejected_rows(store, ledger):
        answers = ledger.units[found.footer.unit][0].answers
        if any(a.version != extents[a.file].file.version for a in answers):
            continue
        spans = tuple(extents[name].span(row, row + 1) for name, row in sorted(found.attempts))
        yield Unit(spans), found.footer.unit, found.footer.generation + 1, found.attempts


def recovered(store: Store) -> Ledger:
    """Recover under a lock of its own."""
    with Lock(store, "recovers").held():
        return recover(store, "recovers")


def bury(store: Store) -> None:
    """Let the lock's owner be dead, as after a real crash."""
    Path(store.full(NAME)).unlink(missing_ok=True)


def check_data(store: Store) -> None:
    """`data/` is a correct data set for anybody, now: no row twice, no two versions of a file."""
    data = ds.dataset(store.full(DATA), format="parquet").to_table().to_pylist()
    counts = Counter((row["_source"], row["_row"]) for row in data)
    assert [place for place, n in counts.items() if n > 1] == []
    versions = {(row["_source"], row["text"]) for row in data}
    assert len(versions) == len({name for name, _ in versions})


def places(store: Store) -> dict[Place, str]:
    """Where each row stands: its text in data, or "rejected". Fails on a row that stands twice."""
    data = [(row, row["text"]) for row in _rows(store, DATA)]
    found = [*data, *((row, "rejected") for row in _rows(store, REJECTS))]
    standing = {(row["_source"], row["_row"]): what for row, what in found}
    assert len(standing) == len(found)
    return standing


def attempts(store: Store) -> dict[Place, int]:
    """How often each rejected row was tried."""
    return {(r["_source"], r["_row"]): r["attempts"] for r in _rows(store, REJECTS)}


def _rows(store: Store, folder: str) -> list[dict]:
    return [
        row
        for name in store.names(folder)
        for row in pq.read_table(store.full(f"{folder}/{name}")).to_pylist()
    ]


def counts(store: Store) -> tuple[int, int]:
    """Rows and rejects as the ledger tells them."""
    ledger = read_ledger(store)
    return ledger.rows, ledger.rejected
