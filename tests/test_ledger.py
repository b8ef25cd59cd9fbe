"""Every row exactly once, wherever a run stops, and never two versions side by side."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.errors import SinkFailed
from pipelines.ledger import read_ledger
from pipelines.parts import commit
from pipelines.store import DATA, REJECTS, Store
from pipelines.units import SourceFile, Unit
from tests.mill import (
    Corpus,
    Crash,
    Crashing,
    attempts,
    bury,
    check_data,
    counts,
    footer,
    places,
    recovered,
    run,
)

BAD = frozenset({("a", 1), ("b", 0), ("c", 0), ("c", 1), ("c", 2)})
FIRST = Corpus({"a": (8, "a1"), "b": (2, "b1"), "c": (3, "c1"), "d": (1, "d1")}, BAD)
HEALED = replace(FIRST, bad=BAD - {("a", 1), ("c", 2)})
CHANGED = replace(HEALED, files={**FIRST.files, "a": (5, "a2"), "d": (2, "d2"), "e": (4, "e1")})

GONE = replace(CHANGED, files={n: f for n, f in CHANGED.files.items() if n not in ("b", "c")})
"""What is left when two files are deleted."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at("out", tmp_path)


def story(store: Store) -> None:
    """Answer, retry the rejects, and answer again after two files changed and one came."""
    run(store, FIRST)
    run(store, HEALED, retry=True)
    run(store, CHANGED)


def test_each_row_stands_once_after_each_run(store: Store) -> None:
    run(store, FIRST)
    assert places(store) == FIRST.places()
    run(store, HEALED, retry=True)
    assert places(store) == HEALED.places()
    assert set(attempts(store).values()) == {2}
    run(store, CHANGED)
    assert places(store) == CHANGED.places()
    assert counts(store) == (13, 3)


def test_running_again_changes_no_file(store: Store) -> None:
    run(store, FIRST)
    before = {p: p.stat().st_mtime_ns for p in Path(store.path).rglob("*.parquet")}
    run(store, FIRST)
    assert {p: p.stat().st_mtime_ns for p in Path(store.path).rglob("*.parquet")} == before


def steps_of(store: Store, story: Callable[[Store], None] = story) -> int:
    counting = Crashing(store.home, store.path, [10_000])
    story(counting)
    return 10_000 - counting.left[0]


def test_a_crash_at_any_step_costs_no_row_and_repeats_none(tmp_path: Path) -> None:
    steps = steps_of(Store.at("whole", tmp_path))
    assert steps > 50
    for step in range(steps):
        crashing = Crashing("", str(tmp_path / f"out{step}"), [step])
        with pytest.raises(Crash):
            story(crashing)
        store = Store.at(f"out{step}", tmp_path)
        check_data(store)
        bury(store)
        run(store, CHANGED)
        run(store, CHANGED, retry=True)
        assert places(store) == CHANGED.places(), f"stopped before step {step}"


def test_a_withdrawal_that_stopped_half_way_costs_no_row_if_the_file_is_put_back(
    tmp_path: Path,
) -> None:
    changed = replace(HEALED, files={**FIRST.files, "a": (5, "a2")})
    for step in range(3, 11):
        store = Crashing("", str(tmp_path / f"out{step}"), [10_000])
        run(store, FIRST, rows=9)
        run(store, HEALED, retry=True)
        store.left[0] = step
        with pytest.raises(Crash):
            run(store, changed)
        bury(store)
        store.left[0] = 10_000
        run(store, HEALED)
        run(store, HEALED, retry=True)
        assert places(store) == HEALED.places(), f"stopped before step {step}"


def gone_story(store: Store) -> None:
    """Answer, retry the rejects; then two files changed, one came and two are gone."""
    run(store, FIRST)
    run(store, HEALED, retry=True)
    run(store, GONE, on_delete="drop")


def test_rows_of_deleted_files_are_taken_back_with_those_of_changed_ones(store: Store) -> None:
    gone_story(store)
    assert places(store) == GONE.places()
    run(store, CHANGED, on_delete="drop")
    assert places(store) == CHANGED.places()


def test_rows_of_deleted_files_stay_if_nothing_else_is_said(store: Store) -> None:
    run(store, FIRST)
    before = places(store)
    run(store, replace(FIRST, files={"a": FIRST.files["a"]}))
    assert places(store) == before


def test_a_crash_while_rows_are_taken_back_costs_no_row_and_leaves_none(tmp_path: Path) -> None:
    steps = steps_of(Store.at("whole", tmp_path), gone_story)
    first = steps_of(Store.at("first", tmp_path), lambda s: run(s, FIRST))
    for step in range(first, steps):
        crashing = Crashing("", str(tmp_path / f"out{step}"), [step])
        with pytest.raises(Crash):
            gone_story(crashing)
        store = Store.at(f"out{step}", tmp_path)
        check_data(store)
        bury(store)
        run(store, GONE, on_delete="drop")
        run(store, GONE, retry=True, on_delete="drop")
        assert places(store) == GONE.places(), f"stopped before step {step}"


def test_deleted_files_that_come_back_after_a_crash_are_whole(tmp_path: Path) -> None:
    first = steps_of(Store.at("first", tmp_path), lambda s: run(s, FIRST, rows=9))
    whole = steps_of(Store.at("whole", tmp_path), _dropped)
    for step in range(first, whole):
        crashing = Crashing("", str(tmp_path / f"out{step}"), [step])
        with pytest.raises(Crash):
            _dropped(crashing)
        bury(crashing)
        store = Store.at(f"out{step}", tmp_path)
        run(store, FIRST, on_delete="drop")
        assert places(store) == FIRST.places(), f"stopped before step {step}"


def _dropped(store: Store) -> None:
    run(store, FIRST, rows=9)
    run(store, replace(FIRST, files={"a": FIRST.files["a"]}), on_delete="drop")


@pytest.mark.parametrize("seed", range(4))
def test_any_number_of_crashes_costs_no_row_and_repeats_none(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    store = Crashing("", str(tmp_path / "out"), [0])
    for corpus in (FIRST, HEALED, CHANGED, GONE, HEALED, FIRST, CHANGED, GONE) * 3:
        store.left[0] = dice.randrange(1, 25)
        try:
            run(store, corpus, dice.random() < 0.5, dice.randrange(1, 5), "drop")
        except Crash:
            bury(store)
        check_data(store)
    store.left[0] = 10_000
    run(store, CHANGED)
    run(store, CHANGED, retry=True)
    assert places(store) == CHANGED.places()


def test_a_finished_file_is_told_without_opening_it(store: Store) -> None:
    run(store, FIRST)
    ledger = read_ledger(store)
    file = SourceFile("a", 8, "a1", "/nowhere")
    assert ledger.is_finished(file)
    assert ledger.has_changed(replace(file, version="a2"))
    assert not ledger.is_finished(replace(file, name="f"))


def names_of(store: Store, file: str) -> list[str]:
    ledger = read_ledger(store)
    return [
        part.name
        for parts in ledger.units.values()
        for part in parts
        if any(a.file == file for a in parts[0].answers)
    ]


def test_rejects_without_their_data_part_are_removed(store: Store) -> None:
    run(store, FIRST)
    (name,) = names_of(store, "c")[:1]
    Path(store.full(f"{DATA}/{name}")).unlink()
    recovered(store)
    assert name not in store.names(REJECTS)


def test_a_unit_without_its_rejects_does_not_count(store: Store) -> None:
    run(store, FIRST)
    (name,) = names_of(store, "c")[:1]
    Path(store.full(f"{REJECTS}/{name}")).unlink()
    recovered(store)
    assert name not in store.names(DATA)
    run(store, FIRST)
    assert places(store) == FIRST.places()


def test_a_retry_without_its_unit_does_not_count(store: Store) -> None:
    run(store, FIRST)
    run(store, HEALED, retry=True)
    for name in [n for n in store.names(DATA) if n.endswith("0000.parquet")]:
        Path(store.full(f"{DATA}/{name}")).unlink()
    assert read_ledger(store).units
    assert not recovered(store).units
    assert store.names(DATA) + store.names(REJECTS) == []


def test_of_two_parts_that_answer_the_same_rows_one_counts(store: Store) -> None:
    run(store, FIRST)
    span = FIRST.extents()["a"].span(2, 5)
    unit = Unit((span,))
    with pytest.raises(AssertionError):
        plant(store, unit)
        places(store)
    recovered(store)
    run(store, FIRST)
    assert places(store) == FIRST.places()


def plant(store: Store, unit: Unit) -> None:
    """Commit a unit under the lock of a run of its own."""
    from pipelines.lock import Lock

    with Lock(store, "planted").held():
        commit(store, FIRST.table(unit), footer(FIRST, unit, unit.id, 0, "planted"), {})


def test_rejects_of_a_repeated_commit_that_stopped_half_way_do_not_pass_for_the_first(
    store: Store,
) -> None:
    """The first commit rejected row 0 of d; the second, row 1, and died before its data part."""
    corpus = Corpus({"d": (2, "d1")}, frozenset({("d", 0)}))
    other = replace(corpus, bad=frozenset({("d", 1)}))
    run(store, corpus)
    (name,) = store.names(DATA)
    elsewhere = Store.at("elsewhere", Path(store.path).parent)
    run(elsewhere, other)
    store.put(f"{REJECTS}/{name}", Path(elsewhere.full(f"{REJECTS}/{name}")).read_bytes())
    run(store, corpus)
    assert places(store) == corpus.places()


def test_a_damaged_part_is_named_and_nothing_is_removed(store: Store) -> None:
    run(store, FIRST)
    name = store.names(DATA)[0]
    Path(store.full(f"{DATA}/{name}")).write_bytes(b"PAR1 no more")
    before = store.names(DATA)
    with pytest.raises(SinkFailed, match=f"{name} is damaged"):
        run(store, FIRST)
    assert store.names(DATA) == before


def test_parts_of_other_programs_are_left_alone(store: Store) -> None:
    run(store, FIRST)
    foreign = Path(store.full(f"{DATA}/theirs.parquet"))
    pq.write_table(pa.table({"theirs": [1]}), foreign)
    recovered(store)
    assert foreign.exists()
