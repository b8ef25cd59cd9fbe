"""Nightly runs without Ray: `run` as it is, but units go through one after the other, in this
process, and a stage that would need a model writes null."""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import jobs.run
from actors.worker import Report
from pipelines import flow, graph
from pipelines.dispatch import Dispatcher
from pipelines.machines import Machine, Machines
from tests.world import World


class Nights(World):
    """A world whose columns are kept as they are read, run without Ray."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, kind: str = "jsonl") -> None:
        super().__init__(path)
        self.file["source"] = {"kind": kind, "path": "in/"}
        self.file["keep"] = ["text"]
        monkeypatch.setattr(graph, "run", _run)
        monkeypatch.setattr(jobs.run, "connected", _connected)

    def write(self, name: str, columns: Mapping[str, Any], age: float = 3600.0) -> Path:
        """A Parquet file of these columns (values, or arrays), last changed `age` seconds ago."""
        path = self.path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(dict(columns)), path)
        return self.aged(path, age)

    def rows(self, name: str, *rows: Mapping[str, Any], age: float = 3600.0) -> Path:
        """A JSON Lines file of these rows."""
        path = self.path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return self.aged(path, age)

    def aged(self, path: Path, age: float) -> Path:
        """The same file, last changed `age` seconds ago."""
        when = time.time_ns() - int(age * 1e9)
        os.utime(path, ns=(when, when))
        return path

    def file_names(self) -> set[str]:
        """The source files that have a row in data."""
        return {name for name, _ in self.data()}

    def table(self) -> pa.Table:
        """All parts of data as one table, in the source's order; fails where schemas differ."""
        folder = self.path / "out" / "data"
        table = pa.concat_tables(pq.read_table(folder / name) for name in self.parts())
        return table.sort_by([("_source", "ascending"), ("_row", "ascending")])


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[Machines]:
    yield Machines((Machine(4.0),))


def _run(job: flow.Job, work: Any, pools: Any, speed: Any, limit: Any, watch: Any) -> Any:
    """What the graph does, unit by unit."""
    plan = job.plan
    actors = {label: size.most for label, size in pools.items()}
    dispatcher = Dispatcher(plan.pipeline.source, plan.read, work, actors, speed, limit)
    number = 0
    while ticket := dispatcher.deal(number).ticket:
        rows = flow.read(job, ticket)
        for step in plan.steps:
            table = rows.table
            for column, kind in step.writes.items():
                table = table.append_column(column, pa.nulls(table.num_rows, kind))
            rows = rows.after(step.label, table, time.time(), None)
            dispatcher.step_done(step.label, Report(rows=table.num_rows, wall=0.001))
        dispatcher.committed(flow.commit_unit(job, rows))
        number += 1
    return dispatcher.status()
