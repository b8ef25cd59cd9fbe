"""Processes that write a table are killed at random moments: no snapshot is ever wrong."""

import multiprocessing
import random
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from pipelines.ledger import read_ledger
from pipelines.store import DATA, Store
from tests.mill import Corpus, check_data, places, run
from tests.tables import KINDS, newest, plain_sink, versions

FILES = 12
START = multiprocessing.get_context("forkserver")


def corpus(dice: random.Random, before: Corpus) -> Corpus:
    """A file more or two, and now and then another version of one that is there."""
    files = dict(before.files)
    for _ in range(2):
        files.setdefault(f"f{dice.randrange(FILES):02d}", (dice.randrange(1, 9), "v0"))
    if dice.random() < 0.4:
        name = dice.choice(sorted(files))
        files[name] = (dice.randrange(1, 9), f"v{int(files[name][1][1:]) + 1}")
    bad = {(name, row) for name, (rows, _) in files.items() for row in range(0, rows, 7)}
    return Corpus(files, frozenset(bad))


def work(kind: str, folder: str, given: Corpus, retry: bool) -> None:
    """What the killed process does: run, and publish after each unit."""
    run(Store.at("out", Path(folder)), given, retry, 2, sink=plain_sink(kind, Path(folder)))


def check(found: list[dict]) -> None:
    counts = Counter((row["_source"], row["_row"]) for row in found)
    assert set(counts.values()) <= {1}, "a row stands twice"
    files = Counter(name for name, _ in {(row["_source"], row["text"]) for row in found})
    assert set(files.values()) <= {1}, "two versions of a file"


def started(kind: str, folder: Path, given: Corpus, retry: bool) -> BaseProcess:
    process = START.Process(target=work, args=(kind, str(folder), given, retry))
    process.start()
    return process


def fight(kind: str, folder: Path, kills: int, seed: int) -> tuple[int, int]:
    """Kill until that many are killed at work; return how many were, and the snapshots there are.

    Every snapshot is read when all is done; the newest one after each kill.
    """
    START.set_forkserver_preload(["tests.mill", "tests.tables"])
    dice, given, done = random.Random(seed), Corpus({}), 0
    store = Store.at("out", folder)
    while done < kills:
        given = corpus(dice, given)
        process = started(kind, folder, given, dice.random() < 0.3)
        wait_for_work(store, process)
        process.join(0.6 * dice.random())
        done += process.is_alive()
        process.kill()
        process.join()
        check(newest(kind, folder))
        check_data(store)
    for retry in (False, True):
        last = started(kind, folder, given, retry)
        last.join()
        assert last.exitcode == 0
    return done, finish(kind, folder, given)


def wait_for_work(store: Store, process: BaseProcess) -> None:
    """Wait until the process holds the lock, so that it is killed at work."""
    lock = Path(store.full("_gristmill/lock.json"))
    told = lock.stat().st_mtime_ns if lock.exists() else 0
    while process.is_alive() and (not lock.exists() or lock.stat().st_mtime_ns == told):
        time.sleep(0.002)


def finish(kind: str, folder: Path, given: Corpus) -> int:
    store = Store.at("out", folder)
    assert places(store) == given.places()
    good = {place: text for place, text in given.places().items() if text != "rejected"}
    assert {(r["_source"], r["_row"]): r["text"] for r in newest(kind, folder)} == good
    assert plain_sink(kind, folder).state(store, read_ledger(store))["up_to_date"]
    assert not [n for n in store.names(DATA) if not n.startswith("part-")]
    snapshots = 0
    for found in versions(kind, folder):
        check(found)
        snapshots += 1
    return snapshots


@pytest.mark.parametrize("kind", KINDS)
def test_kills_leave_every_snapshot_right(tmp_path: Path, kind: str) -> None:
    killed, snapshots = fight(kind, tmp_path, 4, 1)
    assert (killed, snapshots > 4) == (4, True)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_kills_leave_every_snapshot_right(tmp_path: Path, kind: str, seed: int) -> None:
    print(fight(kind, tmp_path, 100, seed))
