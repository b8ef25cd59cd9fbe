"""Delta and Iceberg: each row of the table exactly once, in every snapshot that there ever was."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.ledger import read_ledger
from pipelines.store import Store
from tests.mill import Corpus, Crash, Crashing, bury, places, run
from tests.tables import KINDS, crashing_sink, rows, versions

BAD = frozenset({("a", 1), ("b", 0), ("c", 0), ("c", 1)})
FIRST = Corpus({"a": (5, "a1"), "b": (2, "b1"), "c": (2, "c1")}, BAD)
HEALED = replace(FIRST, bad=BAD - {("a", 1)})
CHANGED = replace(HEALED, files={**FIRST.files, "a": (4, "a2"), "e": (2, "e1")})


def good(corpus: Corpus) -> dict:
    return {place: text for place, text in corpus.places().items() if text != "rejected"}


def check(found: list[dict]) -> dict:
    """No row twice, and of each file one version."""
    standing = {(row["_source"], row["_row"]): row["text"] for row in found}
    assert len(standing) == len(found), "a row stands twice"
    files = Counter(name for name, _ in {(row["_source"], row["text"]) for row in found})
    assert set(files.values()) <= {1}, "two versions of a file"
    return standing


def check_all(kind: str, folder: Path, start: int = 0) -> int:
    """Check every snapshot from `start` on; return how many there are."""
    return start + sum(1 for found in versions(kind, folder, start) if check(found) is not None)


def swapped(file: str, rows: dict) -> bool:
    """Whether all rows of the file are those of its last version."""
    wanted = {place: text for place, text in good(CHANGED).items() if place[0] == file}
    return wanted == {place: text for place, text in rows.items() if place[0] == file}


def check_growth(kind: str, folder: Path) -> None:
    """Rows of a file stay in the table until its next version takes their place, whole."""
    last: dict = {}
    for now in map(check, versions(kind, folder)):
        for place, text in last.items():
            assert now.get(place) == text or swapped(place[0], now)
        last = now


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_is_the_parts_after_each_run(tmp_path: Path, kind: str) -> None:
    store, sink = Crashing("", f"{tmp_path}/out", [10_000]), crashing_sink(kind, tmp_path)
    for corpus, retry in ((FIRST, False), (HEALED, True), (CHANGED, False)):
        run(store, corpus, retry, sink=sink)
        assert check(rows(kind, tmp_path)) == good(corpus)
        assert sink.state(store, read_ledger(store))["up_to_date"]
    seen = check_all(kind, tmp_path)
    run(store, CHANGED, sink=sink)
    assert check_all(kind, tmp_path) == seen, "nothing changed, and there is a version more"


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_swaps_its_rows_in_one_transaction(tmp_path: Path, kind: str) -> None:
    store, sink = Crashing("", f"{tmp_path}/out", [10_000]), crashing_sink(kind, tmp_path)
    run(store, FIRST, sink=sink)
    seen = check_all(kind, tmp_path)
    run(store, replace(FIRST, files={**FIRST.files, "a": (4, "a2")}), rows=1, sink=sink)
    (swapped,) = versions(kind, tmp_path, seen)
    assert {row["text"] for row in swapped if row["_source"] == "a"} == {"a2"}


def story(store: Store, sink) -> None:
    run(store, FIRST, sink=sink)
    run(store, HEALED, retry=True, sink=sink)
    run(store, CHANGED, sink=sink)


def crash_at_any_step(tmp_path: Path, kind: str) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    counting = Crashing("", f"{whole}/out", [10_000])
    story(counting, crashing_sink(kind, whole))
    for step in range(10_000 - counting.left[0]):
        folder = tmp_path / f"at{step}"
        folder.mkdir()
        store, sink = Crashing("", f"{folder}/out", [step]), crashing_sink(kind, folder)
        with pytest.raises(Crash):
            story(store, sink)
        bury(store)
        store.left[0] = 10_000
        run(store, CHANGED, sink=sink)
        run(store, CHANGED, retry=True, sink=sink)
        assert check(rows(kind, folder)) == good(CHANGED), f"stopped before step {step}"
        check_growth(kind, folder)
        assert places(store) == CHANGED.places()


def test_a_crash_at_any_step_loses_and_doubles_no_row_of_any_snapshot(tmp_path: Path) -> None:
    crash_at_any_step(tmp_path, "delta")


@pytest.mark.chaos
def test_a_crash_at_any_step_costs_an_iceberg_table_no_row(tmp_path: Path) -> None:
    crash_at_any_step(tmp_path, "iceberg")


def crashes(tmp_path: Path, kind: str, seed: int, rounds: int) -> int:
    """Run after run on one output, each with its crash; return how many snapshots there were."""
    dice = random.Random(seed)
    store, sink = Crashing("", f"{tmp_path}/out", [0]), crashing_sink(kind, tmp_path)
    for corpus in (FIRST, HEALED, CHANGED, HEALED, FIRST, CHANGED) * rounds:
        store.left[0] = dice.randrange(1, 30)
        try:
            run(store, corpus, dice.random() < 0.5, dice.randrange(1, 5), sink=sink)
        except Crash:
            bury(store)
    store.left[0] = 10_000
    run(store, CHANGED, sink=sink)
    run(store, CHANGED, retry=True, sink=sink)
    assert check(rows(kind, tmp_path)) == good(CHANGED)
    return check_all(kind, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_crashes_leaves_every_snapshot_right(tmp_path: Path, kind: str) -> None:
    assert crashes(tmp_path, kind, 1, 2) > 5


@pytest.mark.chaos
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_crashes_leave_every_snapshot_right(
    tmp_path: Path, kind: str, seed: int
) -> None:
    crashes(tmp_path, kind, seed, 17)
