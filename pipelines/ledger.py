"""What an output already answers, read from the footers of its parts: there is no other record."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.lock import fenced
from pipelines.parts import Answers, Footer, place, read_footer
from pipelines.store import ASIDE, DATA, REJECTS, Store
from pipelines.units import Interval, SourceFile

READERS = 16
"""Footers read at once: hides the latency of object stores, harmless on a disk."""


NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rejected:
    """The rejected rows of one unit: (file, row) -> how often it was tried."""

    footer: Footer
    attempts: dict[tuple[str, int], int]


class Ledger:
    """All footers of an output, by unit, each unit's generations in order.

    `held` names the parts among them that wait for the pipeline's gates, if any.
    """

    def __init__(self, footers: Iterable[Footer], held: Iterable[str] = ()) -> None:
        self.held = frozenset(held)
        self.units: dict[str, list[Footer]] = defaultdict(list)
        for footer in sorted(footers, key=lambda f: f.generation):
            self.units[footer.unit].append(footer)
        self._answered: dict[str, list[tuple[str, Interval, int]]] = defaultdict(list)
        for unit in self.units.values():
            for a in unit[0].answers:
                self._answered[a.file].append((a.version, (a.start, a.stop), a.of))

    def answered(self, file: SourceFile) -> list[Interval]:
        """Rows of this version of the file that are answered."""
        return [
            rows
            for version, rows, _ in self._answered.get(file.name, ())
            if version == file.version
        ]

    def rows_of(self, file: SourceFile) -> int | None:
        """How many rows this version of the file has, if any part says so."""
        found = [
            of for version, _, of in self._answered.get(file.name, []) if version == file.version
        ]
        return found[0] if found else None

    def is_finished(self, file: SourceFile) -> bool:
        """Whether every row of this version is answered, told without opening the file."""
        of = self.rows_of(file)
        return of is not None and of == sum(stop - start for start, stop in self.answered(file))

    def has_changed(self, file: SourceFile) -> bool:
        """Whether another version of the file was answered, and not this one, which may be held
        while the other stands in data."""
        versions = {version for version, _, _ in self._answered.get(file.name, ())}
        return bool(versions) and file.version not in versions

    @property
    def footers(self) -> Iterator[Footer]:
        """Every footer, unit by unit."""
        return (footer for unit in self.units.values() for footer in unit)

    @property
    def files(self) -> dict[str, set[str]]:
        """The source files that are answered, in part at least, with their versions."""
        return {name: {v for v, _, _ in said} for name, said in self._answered.items() if said}

    @property
    def rows(self) -> int:
        """Rows in data."""
        return sum(footer.rows for unit in self.units.values() for footer in unit)

    @property
    def rejected(self) -> int:
        """Rows in rejects that count."""
        return sum(unit[-1].rejected for unit in self.units.values())

    @property
    def fingerprints(self) -> set[str]:
        """The fingerprints that the parts were made under."""
        return {footer.fingerprint for unit in self.units.values() for footer in unit}


def read_ledger(store: Store) -> Ledger:
    """Read every part's footer. Raises SinkFailed for a damaged part."""
    names = [n for n in store.names(DATA) if n.endswith(".parquet")]
    with ThreadPoolExecutor(READERS) as pool:
        footers = pool.map(lambda name: read_footer(store, DATA, name), names)
        return Ledger(footer for footer in footers if footer is not None)


def read_all(store: Store) -> Ledger:
    """What stands in data and what is held, as one ledger: all that is not to be answered again."""
    return together(read_ledger(store), read_ledger(store.held))


def together(standing: Ledger, held: Ledger) -> Ledger:
    """One ledger of what stands in data and what is held."""
    names = [footer.name for footer in held.footers]
    return Ledger([*standing.footers, *held.footers], names)


def recover(store: Store, run: str, below: Ledger | None = None) -> Ledger:
    """Remove what an interrupted run left behind, and return what counts.

    `below` are the parts that a store of held ones adds to. Raises LockLost if the run does not
    hold the lock, or loses it meanwhile.
    """
    ledger = read_ledger(store)
    rejects = store.names(REJECTS)
    left = _counting(store, ledger, rejects, below)
    void = ledger.units.keys() - left.units.keys()
    counting = {u[-1].name for u in left.units.values() if u[-1].rejected}
    gone = [f"{DATA}/{f.name}" for unit in sorted(void) for f in ledger.units[unit]]
    gone += [f"{REJECTS}/{name}" for name in rejects if name not in counting]
    gone += [f"{ASIDE}/{name}" for name in store.names(ASIDE)]
    remove(store, run, gone)
    return left


def read_counting(store: Store) -> Ledger:
    """What counts at this moment; removes nothing, so a run may be committing meanwhile.

    A unit that is being retried or committed anew may be left out, and be there the next time.
    """
    return _counting(store, read_ledger(store), store.names(REJECTS))


def _counting(
    store: Store, ledger: Ledger, rejects: Iterable[str], below: Ledger | None = None
) -> Ledger:
    """The ledger without the units that do not count; `rejects` are the names that are there."""
    commits = _rejects_commits(store, ledger, set(rejects))
    void = _uncommitted(ledger, commits, below or Ledger([]))
    return Ledger(f for parts in ledger.units.values() for f in parts if f.unit not in void)


def remove(store: Store, run: str, names: Iterable[str]) -> None:
    """Delete files of the output, as long as the run holds the lock. Raises LockLost."""
    for name in names:
        with fenced(store, run):
            store.delete(name)


def _uncommitted(ledger: Ledger, rejects: Mapping[str, str], below: Ledger) -> set[str]:
    """Units that do not count: a retry without its unit, one that is not complete, a twin."""
    void: set[str] = set()
    places: list[tuple[str, str, int, int, str]] = []
    for unit, own in ledger.units.items():
        parts = [*below.units.get(unit, ()), *own]
        in_order = [part.generation for part in parts] == list(range(len(parts)))
        if not in_order or not _is_complete(parts, rejects):
            void.add(unit)
            continue
        places += [(a.file, a.version, a.start, a.stop, unit) for a in own[0].answers]
    return void | _twins(places)


def _twins(places: list[tuple[str, str, int, int, str]]) -> set[str]:
    """Units that answer rows (file, version, start, stop) which another unit answers too."""
    twins: set[str] = set()
    end: tuple[str, str, int] = ("", "", 0)
    for file, version, start, stop, unit in sorted(places):
        if (file, version) == end[:2] and start < end[2]:
            twins.add(unit)
        else:
            end = (file, version, stop)
    return twins


def _rejects_commits(store: Store, ledger: Ledger, there: set[str]) -> dict[str, str]:
    """Which commit each unit's last rejects part is of: name -> commit."""
    names = [u[-1].name for u in ledger.units.values() if u[-1].rejected and u[-1].name in there]
    with ThreadPoolExecutor(READERS) as pool:
        footers = pool.map(lambda name: read_footer(store, REJECTS, name), names)
        return {f.name: f.commit for f in footers if f is not None}


def _is_complete(parts: list[Footer], rejects: Mapping[str, str]) -> bool:
    """Whether a unit's parts hold each row that it answers, and belong together.

    A commit that is repeated, or a withdrawal, may stop between a unit's rejects and its data.
    """
    last = parts[-1]
    answered = sum(a.stop - a.start for a in parts[0].answers)
    together = not last.rejected or rejects.get(last.name) == last.commit
    return together and answered == sum(part.rows for part in parts) + last.rejected


def rejected_rows(store: Store, ledger: Ledger) -> Iterator[Rejected]:
    """The rejected rows of each unit that has any."""
    for unit in ledger.units.values():
        footer = unit[-1]
        if not footer.rejected:
            continue
        area = store.held if footer.name in ledger.held else store
        with area.open(f"{REJECTS}/{footer.name}") as file:
            table = pq.read_table(file, columns=["_source", "_row", "attempts"])
        keys = zip(table["_source"].to_pylist(), table["_row"].to_pylist(), strict=True)
        yield Rejected(footer, dict(zip(keys, table["attempts"].to_pylist(), strict=True)))


def withdraw(
    store: Store,
    ledger: Ledger,
    files: set[str],
    run: str,
    keep: Mapping[str, str] = NOTHING,
) -> Ledger:
    """Take back every row of these source files, but those at the version that `keep` names.

    Hold the lock. Parts that answer other files too are rewritten without these rows, in one step
    each.
    """
    for unit in ledger.units.values():
        gone = {
            a.file for a in unit[0].answers if a.file in files and keep.get(a.file) != a.version
        }
        left = tuple(a for a in unit[0].answers if a.file not in gone)
        if not gone:
            continue
        for footer in reversed(unit):
            if not left:
                remove(store, run, [f"{DATA}/{footer.name}", f"{REJECTS}/{footer.name}"])
            else:
                _rewrite(store, footer, left, gone, run)
    return read_ledger(store)


def _rewrite(
    store: Store, footer: Footer, left: tuple[Answers, ...], files: set[str], run: str
) -> None:
    data = _without(store, f"{DATA}/{footer.name}", files)
    has_rejects = footer.rejected and footer.name in store.names(REJECTS)
    rejects = _without(store, f"{REJECTS}/{footer.name}", files) if has_rejects else pa.table({})
    answers = left if footer.generation == 0 else ()
    changed = replace(
        footer, rows=data.num_rows, rejected=rejects.num_rows, answers=answers, run=run
    )
    place(store, data, rejects, changed)


def _without(store: Store, name: str, files: set[str]) -> pa.Table:
    with store.open(name) as file:
        table = pq.read_table(file)
    return table.filter(pc.invert(pc.is_in(table["_source"], pa.array(sorted(files)))))
