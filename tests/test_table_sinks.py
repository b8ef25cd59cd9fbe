"""What a table sink refuses, and what it does when others touch its table."""

import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyiceberg.catalog import load_catalog

from actors.errors import LockLost, SinkFailed, UsageError
from jobs.show import print_output, show
from pipelines.ledger import read_counting
from pipelines.lock import Lock
from pipelines.sinks.table import Conflict
from pipelines.store import Store
from tests.mill import COLUMNS, Corpus, Crashing, bury, run
from tests.tables import KINDS, crashing_sink, iceberg, late_sink, rows, sink_of
from tests.world import World

CORPUS = Corpus({"a": (5, "a1"), "b": (2, "b1")}, frozenset({("a", 1)}))
MORE = replace(CORPUS, files={**CORPUS.files, "c": (1, "c1")})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Crashing("", f"{tmp_path}/out", [10_000])


def touch(kind: str, folder: Path) -> None:
    """Another program compacts the table, or adds to it."""
    if kind == "delta":
        DeltaTable(str(folder / "out/delta")).optimize.compact()
    else:
        table = iceberg(folder)
        table.append(table.scan().to_arrow().slice(0, 1))


def alter(kind: str, folder: Path) -> None:
    """Another program changes the table, and no file of it."""
    if kind == "delta":
        properties = {"delta.logRetentionDuration": "interval 7 days"}
        DeltaTable(str(folder / "out/delta")).alter.set_table_properties(properties)
    else:
        iceberg(folder).transaction().set_properties({"a": "b"}).commit_transaction()


def remove(kind: str, folder: Path) -> None:
    """Do what the message says."""
    if kind == "delta":
        for path in sorted((folder / "out/delta").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    else:
        load_catalog("local", type="sql", uri=f"sqlite:///{folder}/catalog.db").drop_table(
            "tests.rows"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_that_others_wrote_to_is_refused_and_can_be_made_anew(
    tmp_path: Path, store: Store, kind: str
) -> None:
    sink = crashing_sink(kind, tmp_path)
    run(store, CORPUS, sink=sink)
    touch(kind, tmp_path)
    with pytest.raises(UsageError, match="files that gristmill did not put there"):
        sink.check(store, COLUMNS)
    with pytest.raises(SinkFailed, match="could show rows twice"):
        run(store, MORE, sink=sink)
    bury(store)
    remove(kind, tmp_path)
    run(store, MORE, sink=sink)
    assert len(rows(kind, tmp_path)) == 7


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_between_our_look_and_our_commit_doubles_no_row(
    tmp_path: Path, store: Store, kind: str
) -> None:
    sink = crashing_sink(kind, tmp_path)
    run(store, CORPUS, sink=sink)
    held = sink.snapshot(store)
    if kind == "delta":
        touch(kind, tmp_path)
    else:
        iceberg(tmp_path).overwrite(iceberg(tmp_path).scan().to_arrow())
    with pytest.raises(Conflict):
        held.swap([], sorted(held.names), "late")
    assert len(rows(kind, tmp_path)) == 6


@pytest.mark.parametrize("kind", KINDS)
def test_a_harmless_change_meanwhile_is_overtaken(tmp_path: Path, kind: str) -> None:
    store, sink = Store.at("out", tmp_path), late_sink(kind, tmp_path)
    run(store, CORPUS, sink=sink)
    sink.others.append(lambda: alter(kind, tmp_path))
    run(store, MORE, sink=sink)
    assert len(rows(kind, tmp_path)) == 7
    assert not sink.others


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_lost_its_lock_publishes_nothing(
    tmp_path: Path, store: Store, kind: str
) -> None:
    sink = crashing_sink(kind, tmp_path)
    run(store, CORPUS)
    ledger = read_counting(store)
    with Lock(store, "other").held(), pytest.raises(LockLost):
        sink.publish(store, ledger, COLUMNS, "stale")
    assert sink.snapshot(store) is None


def test_a_part_that_is_replaced_while_we_look_is_published_as_it_is_then(
    tmp_path: Path, store: Store
) -> None:
    sink = crashing_sink("delta", tmp_path)
    run(store, CORPUS)
    old = read_counting(store)
    for path in Path(store.full("data")).iterdir():
        path.unlink()
    run(store, replace(CORPUS, bad=frozenset({("a", 2)})))
    with Lock(store, "late").held():
        sink.publish(store, old, COLUMNS, "late", settled=False)
        assert "a" not in {row["_source"] for row in rows("delta", tmp_path)}
        sink.publish(store, read_counting(store), COLUMNS, "late")
    found = {row["_row"] for row in rows("delta", tmp_path) if row["_source"] == "a"}
    assert found == {0, 1, 3, 4}


def test_old_snapshots_can_be_read_after_their_rows_were_replaced(
    tmp_path: Path, store: Store
) -> None:
    sink = crashing_sink("delta", tmp_path)
    run(store, CORPUS, sink=sink)
    table = DeltaTable(str(tmp_path / "out/delta"))
    run(store, replace(CORPUS, files={"a": (3, "a2"), "b": (2, "b1")}), sink=sink)
    before = {row["text"] for row in table.to_pyarrow_table().to_pylist()}
    assert before == {"a1", "b1"}
    assert {row["text"] for row in rows("delta", tmp_path)} == {"a2", "b1"}


def test_vacuum_takes_no_part_that_counts(tmp_path: Path, store: Store) -> None:
    sink = crashing_sink("delta", tmp_path)
    run(store, CORPUS, sink=sink)
    run(store, replace(CORPUS, files={"a": (3, "a2"), "b": (2, "b1")}), sink=sink)
    DeltaTable(str(tmp_path / "out/delta")).vacuum(
        0, dry_run=False, enforce_retention_duration=False, full=True
    )
    run(store, MORE, sink=sink)
    assert len(rows("delta", tmp_path)) == read_counting(store).rows == 7


HELD: list[Any] = [
    pa.int8(), pa.float64(), pa.list_(pa.float32(), 3), pa.large_string(),
    pa.timestamp("us", "UTC"), pa.struct([("box", pa.list_(pa.int32()))]),
    pa.map_(pa.string(), pa.int64()),
    pa.dictionary(pa.int32(), pa.string()),
]  # fmt: skip
NOT_HELD: list[Any] = [
    pa.uint8(), pa.float16(), pa.null(), pa.time64("us"), pa.duration("s"), pa.timestamp("ns"),
    pa.timestamp("us", "Asia/Seoul"), pa.decimal256(10, 2), pa.list_(pa.uint16()), pa.struct([]),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_columns_of_types_that_tables_lack_are_refused_by_name(
    tmp_path: Path, store: Store, kind: str
) -> None:
    sink = crashing_sink(kind, tmp_path)
    for type_ in HELD:
        sink.check(store, COLUMNS.append(pa.field("made", type_)))
    for type_ in NOT_HELD:
        with pytest.raises(UsageError, match=r"cannot hold column 'made'.*\n.*out of keep:"):
            sink.check(store, COLUMNS.append(pa.field("made", type_)))
    with pytest.raises(UsageError, match="upper from lower case: text, Text"):
        sink.check(store, COLUMNS.append(pa.field("Text", pa.string())))


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_of_other_columns_is_refused(tmp_path: Path, store: Store, kind: str) -> None:
    sink = crashing_sink(kind, tmp_path)
    run(store, CORPUS, sink=sink)
    sink.check(store, COLUMNS)
    with pytest.raises(UsageError, match="has other columns than this pipeline writes: _source"):
        sink.check(store, COLUMNS.append(pa.field("more", pa.string())))


def test_an_iceberg_table_of_somebody_else_is_refused(tmp_path: Path, store: Store) -> None:
    catalog = load_catalog("local", type="sql", uri=f"sqlite:///{tmp_path}/catalog.db")
    catalog.create_namespace("tests")
    catalog.create_table("tests.rows", COLUMNS, location=f"file://{tmp_path}/theirs")
    with pytest.raises(UsageError, match=r"there already, and of another program.*\n.*another tab"):
        crashing_sink("iceberg", tmp_path).check(store, COLUMNS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_package_is_named_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for name in ("deltalake", "pyiceberg", "pyiceberg.catalog.sql"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=rf"pip install 'gristmill\[{kind}\]'"):
        crashing_sink(kind, tmp_path).check(Store.at("out", tmp_path), COLUMNS)


def planned(tmp_path: Path, sink: dict) -> None:
    world = World(tmp_path)
    world.lines("a.jsonl", ["x"])
    world.file["sink"] = sink
    world.prepare()


def test_object_stores_are_refused(tmp_path: Path) -> None:
    store = Store.at("s3://key:secret@bucket/out?region=us-east-1", tmp_path)
    with pytest.raises(UsageError, match="s3://bucket/out is in an object store") as refused:
        crashing_sink("delta", tmp_path).check(store, COLUMNS)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"catalog": {"type": "sql", "uri": "sqlite:////nowhere/c.db"}}, "unable to open database"),
        ({"catalog": {"type": "rest", "uri": "http://127.0.0.1:PORT"}}, "cannot be used"),
        ({"catalog": {"type": "wrong"}}, "'wrong' is not a valid CatalogType"),
        ({"catalog": {"type": "rest", "token": "abc"}}, "holds 'token': secrets do not belong"),
        ({"table": "rows"}, "'table'"),
        ({"tabel": "a.b"}, "unknown key 'tabel' (did you mean 'table'?)"),
    ],
)
def test_a_catalog_that_cannot_be_used_is_said_at_plan(
    tmp_path: Path, change: dict, said: str
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    for key, value in change.get("catalog", {}).items():
        change["catalog"][key] = value.replace("PORT", port)
    with pytest.raises(UsageError) as refused:
        planned(tmp_path, sink_of("iceberg", tmp_path) | change)
    assert said in str(refused.value)
    assert "abc" not in str(refused.value)


@pytest.mark.ray
@pytest.mark.parametrize("kind", ["delta", pytest.param("iceberg", marks=pytest.mark.chaos)])
def test_a_finished_output_becomes_a_table_and_grows(
    world: World, kind: str, capsys: pytest.CaptureFixture
) -> None:
    world.lines("a.jsonl", ["x", "bad"])
    world.run()
    world.file["sink"] = sink_of(kind, world.path)
    assert world.run().status is None
    assert [row["upper"] for row in rows(kind, world.path)] == ["X"]
    world.lines("b.jsonl", ["y"])
    world.run()
    assert {row["upper"] for row in rows(kind, world.path)} == {"X", "Y"}
    report = show("out", world.path)
    assert report["table"]["up_to_date"]
    assert report["table"]["parts"] == 2
    print_output(report)
    assert f"{kind} table" in capsys.readouterr().out
