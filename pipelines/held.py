"""The held area: parts of a pipeline with gates wait there, and are released together.

A release is one order, put in place in one step, and then renames that may be repeated: rows that
the new ones replace are withdrawn, then each part's rejects and data move, unit by unit. Whoever
holds the lock next finishes an order that was cut short before it looks at anything else.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.ledger import (
    Ledger,
    read_all,
    read_ledger,
    recover,
    remove,
    together,
    withdraw,
)
from pipelines.lock import fenced
from pipelines.parts import Footer, part_name
from pipelines.store import DATA, HELD, OURS, REJECTS, Store

RELEASING = f"{OURS}/releasing.json"
"""The order that is being carried out; there is none between releases."""

VERDICTS = f"{OURS}/gates"
"""One file per run whose rows met the gates: what was expected, what was seen, what came of it."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to release: part names, each unit's generations in order; files whose older rows go,
    with the version that stays; files whose rows all go; the verdict that is kept when all is done,
    with its name."""

    parts: tuple[str, ...]
    replaced: Mapping[str, str]
    dropped: tuple[str, ...]
    name: str
    verdict: Mapping[str, Any]


def recover_all(store: Store, run: str) -> Ledger:
    """Finish a release that was cut short, remove what interrupted runs left, and return what is
    answered: what stands in data and what is held. Hold the lock."""
    content = store.read(RELEASING)
    if content:
        _carry_out(store, run, Order(**json.loads(content)))
    standing = recover(store, run)
    return together(standing, recover(store.held, run, standing))


def release(
    store: Store, run: str, verdict: Mapping[str, Any], dropped: Iterable[str] = ()
) -> None:
    """Make all held rows a part of data, and keep the verdict. Hold the lock, recovered.

    Older rows of the same files go out with it, and those of the files in `dropped`.
    """
    standing, held = read_ledger(store).files, read_ledger(store.held)
    versions = {a.file: a.version for footer in held.footers for a in footer.answers}
    replaced = {f: v for f, v in versions.items() if standing.get(f, {v}) != {v}}
    parts = tuple(footer.name for footer in held.footers)
    order = Order(parts, replaced, tuple(dropped), run, verdict)
    with fenced(store, run):
        store.put(RELEASING, json.dumps(asdict(order)).encode())
    _carry_out(store, run, order)


def _carry_out(store: Store, run: str, order: Order) -> None:
    """Every step may have been done before: a crash between any two costs nothing."""
    old = {*order.replaced, *order.dropped}
    if old:
        withdraw(store, read_ledger(store), old, run, order.replaced)
    for name in order.parts:
        with fenced(store, run):
            store.move(f"{HELD}/{REJECTS}/{name}", f"{REJECTS}/{name}")
            store.move(f"{HELD}/{DATA}/{name}", f"{DATA}/{name}")
            older = _older(name)
            if older:
                store.delete(f"{REJECTS}/{older}")
    keep_verdict(store, run, order.name, order.verdict)
    remove(store, run, [RELEASING])


def _older(name: str) -> str | None:
    """The name of the part whose rejects this one takes the place of, if it is a retry."""
    unit, generation = name.removeprefix("part-").removesuffix(".parquet").rsplit("-", 1)
    return part_name(unit, int(generation) - 1) if int(generation) else None


def keep_verdict(store: Store, run: str, name: str, verdict: Mapping[str, Any]) -> None:
    """Put a run's verdict in place."""
    store.system.create_dir(store.full(VERDICTS))
    text = json.dumps(verdict, indent=1, ensure_ascii=False, default=str)
    with fenced(store, run):
        store.put(f"{VERDICTS}/{name}.json", text.encode())


def discard(store: Store, run: str) -> Ledger:
    """Throw away all held rows; they count as not answered again. Hold the lock."""
    for folder in (DATA, REJECTS):
        remove(store.held, run, [f"{folder}/{name}" for name in store.held.names(folder)])
    return read_ledger(store)


def take_back(store: Store, ledger: Ledger, files: set[str], run: str) -> Ledger:
    """Throw away the held rows of files that changed again, and held retries beside them.

    What stands in data stays until a release puts the new rows in its place. Hold the lock.
    """
    retries = [f for f in ledger.footers if f.name in ledger.held and _retries(ledger, f, files)]
    for folder in (DATA, REJECTS):
        remove(store.held, run, [f"{folder}/{footer.name}" for footer in retries])
    withdraw(store.held, read_ledger(store.held), files, run)
    return read_all(store)


def _retries(ledger: Ledger, footer: Footer, files: set[str]) -> bool:
    """Whether a held part retries rows of a unit in data that answers one of these files."""
    first = ledger.units[footer.unit][0]
    return first.name not in ledger.held and any(a.file in files for a in first.answers)
