"""A service in this process: the app of a pipeline file, its stages in their own processes, and
no Ray between them."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from starlette.testclient import TestClient

from pipelines.file import parse
from pipelines.flow import Job, StepWorker, Ticket, UnitRows
from pipelines.plan import Plan
from pipelines.serving.app import Front, make_app
from pipelines.serving.bounds import Bounds
from pipelines.serving.gate import Gate
from pipelines.serving.planning import plan_service
from pipelines.serving.token import digest_of
from pipelines.store import Store
from pipelines.units import Unit

ECHO = "tests.stages.echo:Echo"


def plan_of(path: Path, cache: Path | None = None, **change: Any) -> Plan:
    """The plan of a service: an echo of texts, but for the change."""
    data = {
        "name": "try",
        "source": {"kind": "jsonl", "path": "none/", "columns": {"text": "string"}},
        "stages": [{"task": ECHO}],
        "sink": {"kind": "parquet", "path": "out"},
        **change,
    }
    return plan_service(parse(data, "p.yaml"), "p.yaml", path, cache or path)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


class InProcess:
    """Answers tables by a plan's step workers, one after the other."""

    def __init__(self, plan: Plan) -> None:
        job = Job(plan, Store.at("out", plan.base), "test")
        self.workers = [StepWorker(job, number) for number in range(len(plan.steps))]
        self.lacking: str | None = None

    async def answer(self, table: pa.Table) -> pa.Table:
        rows = UnitRows(Ticket(Unit(()), "request"), table)
        for worker in self.workers:
            rows = await asyncio.to_thread(worker.answer, rows)
        return rows.table

    async def ready(self) -> str | None:
        return self.lacking


@contextlib.contextmanager
def service(plan: Plan, token: str | None = None, **bounds: Any) -> Iterator[TestClient]:
    """A client of the plan's service; `client.gate` is what stands before it."""
    stages = InProcess(plan)
    limits = Bounds(**bounds)
    app = make_app(Front(plan, limits, stages.answer, stages.ready))
    gate = Gate(app, digest_of(token) if token else None, limits)
    try:
        with TestClient(gate, raise_server_exceptions=False) as client:
            client.gate, client.stages = gate, stages  # type: ignore[attr-defined]
            yield client
    finally:
        for worker in stages.workers:
            worker.close()
