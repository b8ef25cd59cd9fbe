"""Nights of a table: what is appended is answered, what is rewritten is not answered twice."""

import sqlite3
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from actors.errors import UsageError
from jobs.planning.plan import plan_report
from tests.nights import Nights
from tests.world import World


class DeltaNights(Nights):
    """Nights over the Delta table `in/`."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(path, monkeypatch, "delta")
        self.lake = pytest.importorskip("deltalake")

    def append(self, *texts: str) -> None:
        table = pa.table({"text": pa.array(texts, pa.string())})
        self.lake.write_deltalake(self.path / "in", table, mode="append")

    @property
    def delta(self):
        return self.lake.DeltaTable(self.path / "in")

    def texts(self) -> list[str]:
        return sorted(self.data().values())


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeltaNights:
    return DeltaNights(tmp_path, monkeypatch)


def test_each_night_answers_what_was_appended_also_after_a_compaction(nights: DeltaNights) -> None:
    nights.append("a")
    nights.append("b")
    nights.run()
    nights.delta.optimize.compact()
    nights.append("c")
    parts = nights.parts()
    nights.run()
    assert nights.texts() == ["a", "b", "c"]
    assert set(parts) < set(nights.parts())
    assert nights.run().status is None


def test_a_fresh_run_reads_the_table_as_it_is_now(nights: DeltaNights) -> None:
    nights.append("a")
    nights.append("b")
    nights.run()
    nights.delta.optimize.compact()
    nights.delta.vacuum(0, dry_run=False, enforce_retention_duration=False)
    fresh = nights.run(fresh=True)
    assert (fresh.exit_code, fresh.rows) == (0, 2)
    assert nights.texts() == ["a", "b"]


def test_updated_rows_are_refused_until_the_old_ones_may_go(nights: DeltaNights) -> None:
    nights.append("a", "b")
    nights.append("c")
    nights.run()
    nights.delta.update(predicate="text = 'a'", updates={"text": "'z'"})
    for refused in (nights.run, lambda: plan_report(nights.prepare())):
        with pytest.raises(UsageError, match="on_delete: keep would let them stand twice"):
            refused()
    nights.file["on_delete"] = "drop"
    nights.run()
    assert nights.texts() == ["b", "c", "z"]


def test_a_listing_from_before_another_run_is_not_worked_on(nights: DeltaNights) -> None:
    nights.append("a")
    early = nights.prepare()
    nights.append("b")
    nights.run()
    nights.delta.optimize.compact()
    nights.append("c")
    nights.go(early)
    assert nights.texts() == ["a", "b", "c"]


@pytest.mark.ray
def test_a_database_is_answered_on_ray_and_its_new_rows_the_next_night(world: World) -> None:
    world.file["source"] = {"kind": "sql", "url": "sqlite:///in.db", "table": "t", "key": "id"}
    _add(world.path, ["a", None, "c"])
    first = world.run()
    assert (first.rows, first.rejected) == (2, 1)
    _add(world.path, ["d"])
    assert (world.run().rows, world.run().status) == (3, None)
    assert sorted(world.data().values()) == ["A", "C", "D"]


def _add(path: Path, texts: list[str | None]) -> None:
    with sqlite3.connect(path / "in.db") as there:
        there.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, text TEXT)")
        there.executemany("INSERT INTO t (text) VALUES (?)", [(text,) for text in texts])
    there.close()


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("deltalake", {"kind": "delta", "path": "in"}),
        ("pyiceberg", {"kind": "iceberg", "path": "in"}),
        ("psycopg", {"kind": "sql", "url": "postgresql://h/d", "table": "t", "key": "k"}),
    ],
)
def test_a_package_that_is_missing_is_named_with_what_to_install(
    nights: DeltaNights, monkeypatch: pytest.MonkeyPatch, package: str, source: dict[str, str]
) -> None:
    nights.append("a")
    nights.file["source"] = source
    monkeypatch.setitem(sys.modules, package, None)
    extra = {"deltalake": "delta", "pyiceberg": "iceberg", "psycopg": "postgres"}[package]
    with pytest.raises(UsageError, match=rf"{package}.*\n  install it:.*gristmill\[{extra}\]"):
        nights.prepare()
