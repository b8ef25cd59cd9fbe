"""Rows that wait for gates: not seen, not lost, not answered twice, and released whole."""

import random
from dataclasses import replace
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from moto.server import ThreadedMotoServer

from pipelines.held import RELEASING, discard, recover_all
from pipelines.ledger import read_all, read_ledger
from pipelines.lock import Lock
from pipelines.store import DATA, REJECTS, Store
from tests.mill import Corpus, Crash, Crashing, attempts, bury, check_data, places, run

BAD = frozenset({("a", 1), ("b", 0), ("c", 0), ("c", 1), ("c", 2)})
FIRST = Corpus({"a": (8, "a1"), "b": (2, "b1"), "c": (3, "c1"), "d": (1, "d1")}, BAD)
HEALED = replace(FIRST, bad=BAD - {("a", 1), ("c", 2)})
CHANGED = replace(HEALED, files={**FIRST.files, "a": (5, "a2"), "d": (2, "d2"), "e": (4, "e1")})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at("out", tmp_path)


def story(store: Store) -> None:
    """Answer, retry the rejects, and answer again after files changed: each released at its end."""
    run(store, FIRST, gates="hold")
    run(store, HEALED, retry=True, gates="hold")
    run(store, CHANGED, gates="hold")


def seen(store: Store) -> set[tuple[str, str]]:
    """Which versions of which files a reader of data finds."""
    if not store.names(DATA):
        return set()
    table = ds.dataset(store.full(DATA), format="parquet").to_table()
    return set(zip(table["_source"].to_pylist(), table["text"].to_pylist(), strict=True))


def test_held_rows_are_not_seen_and_not_answered_again(store: Store) -> None:
    run(store, FIRST, gates="fail")
    assert (store.names(DATA), store.names(REJECTS)) == ([], [])
    before = store.held.names(DATA)
    run(store, FIRST, gates="fail")
    assert store.held.names(DATA) == before
    ledger = read_all(store)
    assert (ledger.rows, ledger.rejected) == (9, 5)


def test_each_row_stands_once_after_each_release(store: Store) -> None:
    run(store, FIRST, gates="hold")
    assert places(store) == FIRST.places()
    run(store, HEALED, retry=True, gates="hold")
    assert places(store) == HEALED.places()
    assert set(attempts(store).values()) == {2}
    run(store, CHANGED, gates="hold")
    assert places(store) == CHANGED.places()
    assert store.held.names(DATA) + store.held.names(REJECTS) == []


def test_runs_that_were_held_are_released_together(store: Store) -> None:
    run(store, FIRST, gates="fail")
    run(store, HEALED, retry=True, gates="fail")
    run(store, CHANGED, gates="fail")
    assert store.names(DATA) == []
    run(store, CHANGED, gates="hold")
    assert places(store) == CHANGED.places()


def test_old_rows_of_a_changed_file_stand_until_the_new_ones_are_released(store: Store) -> None:
    run(store, FIRST)
    run(store, HEALED, retry=True, gates="fail")
    run(store, CHANGED, gates="fail")
    assert places(store) == FIRST.places()
    again = replace(CHANGED, files={**CHANGED.files, "a": (6, "a3")})
    run(store, again, gates="fail")
    assert places(store) == FIRST.places()
    run(store, again, gates="hold")
    run(store, again, retry=True, gates="hold")
    assert places(store) == again.places()


def test_rows_of_deleted_files_stand_until_a_release(store: Store) -> None:
    run(store, FIRST)
    left = replace(FIRST, files={name: of for name, of in FIRST.files.items() if name != "a"})
    more = replace(left, files={**left.files, "e": (4, "e1")})
    run(store, more, on_delete="drop", gates="fail")
    assert places(store) == FIRST.places()
    run(store, more, on_delete="drop", gates="hold")
    assert places(store) == more.places()


def test_discarded_rows_are_answered_anew(store: Store) -> None:
    run(store, FIRST)
    run(store, CHANGED, gates="fail")
    with Lock(store, "discards").held():
        discard(store, "discards")
    assert store.held.names(DATA) + store.held.names(REJECTS) == []
    assert places(store) == FIRST.places()
    run(store, CHANGED, gates="hold")
    run(store, CHANGED, retry=True, gates="hold")
    assert places(store) == CHANGED.places()


def steps_of(tmp_path: Path) -> int:
    counting = Crashing("", str(tmp_path / "counted"), [1 << 30])
    story(counting)
    return (1 << 30) - counting.left[0]


@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.chaos)])
def test_a_crash_before_any_step_costs_no_row_and_shows_none_too_early(
    tmp_path: Path, stride: int
) -> None:
    for steps in range(0, steps_of(tmp_path), stride):
        crashing = Crashing("", str(tmp_path / f"after{steps}"), [steps])
        with pytest.raises(Crash):
            story(crashing)
        store = Store("", crashing.path)
        check_data(store)
        released = len(store.names("_gristmill/gates"))
        if store.read(RELEASING) is None:
            # Between releases readers see whole ones only: the first, the second or the third.
            old, new = {("a", "a1"), ("d", "d1")}, {("a", "a2"), ("d", "d2")}
            changed = {place for place in seen(store) if place[0] in "ad"}
            assert changed == (set(), old, old, new)[released], steps
        bury(store)
        run(store, CHANGED, gates="hold")
        check_data(store)
        run(store, CHANGED, retry=True, gates="hold")
        assert places(store) == CHANGED.places(), steps


@pytest.mark.parametrize("seed", range(2))
def test_any_number_of_crashes_costs_no_row_and_repeats_none(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    crashing = Crashing("", str(tmp_path / "out"), [0])
    store = Store("", crashing.path)
    gates = ["hold", "fail"]
    for corpus in (FIRST, HEALED, CHANGED):
        for _ in range(12):
            crashing.left[0] = dice.randrange(1, 40)
            try:
                run(crashing, corpus, retry=dice.random() < 0.5, gates=dice.choice(gates))
            except Crash:
                bury(store)
            check_data(store)
        run(store, corpus, gates="hold")
        run(store, corpus, retry=True, gates="hold")
        assert places(store) == corpus.places()


def test_a_release_that_was_cut_short_is_finished_before_anything_else(store: Store) -> None:
    run(store, FIRST, gates="fail")
    total = len(store.held.names(DATA)) + len(store.held.names(REJECTS))
    for left in range(2, total + 4):
        crashing = Crashing("", store.path, [left])
        try:
            run(crashing, FIRST, gates="hold")
        except Crash:
            bury(store)
        if store.read(RELEASING):
            break
    with Lock(store, "next").held():
        ledger = recover_all(store, "next")
    assert (ledger.held, store.read(RELEASING)) == (frozenset(), None)
    assert places(store) == FIRST.places()
    assert read_ledger(store).rows == 9
    assert isinstance(ds.dataset(store.full(DATA)).to_table(), pa.Table)


def test_a_release_on_an_object_store_moves_every_part_and_can_be_repeated(tmp_path: Path) -> None:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        place = f"{host}:{port}"
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        client = boto3.client("s3", endpoint_url=f"http://{place}", region_name="us-east-1", **keys)
        client.create_bucket(Bucket="bucket")
        query = f"endpoint_override={place}&scheme=http&region=us-east-1"
        store = Store.at(f"s3://key:secret@bucket/out?{query}", tmp_path)
        run(store, FIRST, gates="fail")
        held = store.held.names(DATA), store.held.names(REJECTS)
        # What a release that died between the copy and the deletion of a move leaves.
        name = f"{DATA}/{held[0][0]}"
        store.put(name, store.held.read(name) or b"")
        run(store, FIRST, gates="hold")
        assert (store.names(DATA), store.names(REJECTS)) == held
        assert store.held.names(DATA) + store.held.names(REJECTS) == []
        assert (read_ledger(store).rows, read_ledger(store).rejected) == (9, 5)
    finally:
        server.stop()
