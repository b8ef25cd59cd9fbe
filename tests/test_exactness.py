"""Where two features meet: no row is lost, stale or doubled between them."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import jobs.run
from tests.nights import Nights


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nights:
    return Nights(tmp_path, monkeypatch, "parquet")


def stop(*given: Any) -> None:
    raise KeyboardInterrupt


def test_a_fresh_run_that_ended_before_it_took_rows_away_decides_no_types(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.file |= {"keep": ["n"], "on_change": "ignore"}
    nights.write("a.parquet", {"text": ["a"], "n": pa.array([1], pa.int32())})
    nights.run()
    nights.write("a.parquet", {"text": ["a"], "n": [1.5]}, age=100)
    with monkeypatch.context() as patched:
        patched.setattr(jobs.run, "_clear", stop)
        with pytest.raises(KeyboardInterrupt):
            nights.run(fresh=True)
    nights.write("b.parquet", {"text": ["b"], "n": pa.array([2], pa.int32())})
    assert nights.run().exit_code == 0
    assert nights.table()["n"].to_pylist() == [1, 2]


@pytest.mark.parametrize("rule", ["strict", "widen"])
def test_a_column_without_values_takes_text_on_a_later_night(nights: Nights, rule: str) -> None:
    nights.file["keep"] = ["few", "tags"]
    nights.file["source"]["schema"] = rule
    tags = pa.array([[]], pa.list_(pa.null()))
    nights.write("a.parquet", {"text": ["a"], "few": pa.nulls(1), "tags": tags})
    nights.write("b.parquet", {"text": ["b"], "few": pa.nulls(1), "tags": tags})
    assert nights.run().exit_code == 0
    nights.write("c.parquet", {"text": ["c"], "few": ["x"], "tags": [["y"]]})
    assert nights.run().exit_code == 0
    assert nights.table()["few"].to_pylist() == [None, None, "x"]
    assert nights.table()["tags"].to_pylist() == [[], [], ["y"]]


PASS, FAIL = {"rows": {"max": 100}}, {"rows": {"max": 0}}


def test_rows_held_of_a_version_that_is_gone_again_are_not_released(nights: Nights) -> None:
    nights.file |= {"on_change": "reprocess", "gates": PASS}
    nights.write("b.parquet", {"text": ["b"]})
    path = nights.write("a.parquet", {"text": ["a"]})
    content, times = path.read_bytes(), path.stat()
    nights.run()
    nights.file["gates"] = FAIL
    nights.write("a.parquet", {"text": ["new", "newer"]}, age=99)
    assert nights.run().held == 2
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    nights.file["gates"] = PASS
    assert nights.run().exit_code == 0
    assert nights.data() == {("a.parquet", 0): "a", ("b.parquet", 0): "b"}
    assert nights.run().status is None


def test_held_rows_of_a_deleted_file_are_dropped_and_not_released(nights: Nights) -> None:
    nights.file |= {"on_delete": "drop", "gates": FAIL}
    nights.write("a.parquet", {"text": ["a"]})
    path = nights.write("b.parquet", {"text": ["b"]})
    nights.run()
    path.unlink()
    assert nights.run(held="accept").rows == 1
    assert nights.data() == {("a.parquet", 0): "a"}


def test_a_listing_from_before_another_run_takes_no_newer_rows_back(nights: Nights) -> None:
    nights.file["on_change"] = "reprocess"
    nights.write("a.parquet", {"text": ["a"]})
    nights.run()
    nights.write("a.parquet", {"text": ["b"]}, age=90)
    early = nights.prepare()
    nights.write("a.parquet", {"text": ["c"]}, age=80)
    nights.run()
    assert nights.go(early).status is None
    assert nights.data() == {("a.parquet", 0): "c"}


def test_a_file_that_changed_again_since_it_was_listed_is_answered_as_it_is(nights: Nights) -> None:
    nights.file["on_change"] = "reprocess"
    nights.write("a.parquet", {"text": ["a"]})
    nights.run()
    nights.write("a.parquet", {"text": ["b"]}, age=90)
    early = nights.prepare()
    nights.write("a.parquet", {"text": ["c"]}, age=80)
    assert nights.go(early).exit_code == 0
    assert nights.data() == {("a.parquet", 0): "c"}


def test_a_retry_that_is_not_committed_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights = Nights(tmp_path, monkeypatch)
    for name in "ab":
        nights.rows(f"{name}.jsonl", {"text": name}).open("a").write("no JSON\n")
    assert nights.run().rejected == 2
    early = nights.prepare()
    nights.aged(nights.path / "in" / "b.jsonl", 5)
    after = nights.go(early, retry_rejects=True)
    assert (after.exit_code, after.rows, after.rejected, after.status.retried) == (1, 2, 2, 0)
