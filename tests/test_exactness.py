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
