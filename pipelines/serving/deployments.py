"""The one place where a checked plan becomes a Ray Serve application.

    HTTP -> ingress (parses) -> stage 1 -> ... -> stage n -> ingress (answers)

One deployment a stage, its replicas around the same worker as a run's actors.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from pydantic import Field
from ray import serve
from ray.serve.exceptions import RayServeException

from actors.child import to_ipc
from actors.errors import GristmillError, RunFailed, StageFailed
from actors.stage import Batching
from pipelines.file import load
from pipelines.flow import Job, StepWorker, Ticket, UnitRows
from pipelines.plan import Plan, Step
from pipelines.pools import READ_CPUS
from pipelines.serving.app import Front, make_app
from pipelines.serving.bounds import Bounds
from pipelines.serving.gate import Gate
from pipelines.serving.planning import plan_service
from pipelines.serving.together import Together
from pipelines.serving.token import digest_of, read_token
from pipelines.store import Store
from pipelines.units import Unit

ROWS_TOGETHER = Batching().rows * 4
"""Most rows of joined requests: four micro-batches of most tasks, so that sorting by cost pays,
and none waits for more than a few of them. A file's `batch: {rows: N}` asks for N instead."""

READY_SECONDS = 5.0
"""How long /ready waits for a stage: probes themselves give up after some seconds."""

INGRESS = "ingress"


class StageReplica:
    """One replica of one stage: joins what waits, and answers it as one unit."""

    def __init__(self, job: Job, number: int) -> None:
        self._worker = StepWorker(job, number)
        self._worker.start()
        limit = self._worker.step.limits.rows
        self._together = Together(self._answer, limit or ROWS_TOGETHER)
        self._failure: StageFailed | None = None

    async def answer(self, rows: bytes) -> bytes:
        """Answer a table, as an IPC stream. Raises StageFailed."""
        table = pa.ipc.open_stream(rows).read_all()
        return to_ipc(await self._together.answer(table))

    async def _answer(self, table: pa.Table) -> pa.Table:
        unit = UnitRows(Ticket(Unit(()), "request"), table)
        try:
            return (await asyncio.to_thread(self._worker.answer, unit)).table
        except StageFailed as error:
            self._failure = error
            raise

    def check_health(self) -> None:
        """Raise what the stage failed with; Serve starts another replica then."""
        if self._failure is not None:
            raise self._failure


class Ingress:
    """Parses requests, sends their rows through the stages, and answers."""

    def __init__(self, plan: Plan, bounds: Bounds, token: bytes | None, *stages: Any) -> None:
        self._plan = plan
        self._bounds = bounds
        self._token = token
        self._stages = stages

    def __serve_build_asgi_app__(self) -> Gate:
        """The app that Serve puts behind its proxy."""
        app = make_app(Front(self._plan, self._bounds, self._answer, self._ready))
        self._gate = Gate(app, self._token, self._bounds)
        return self._gate

    async def drain(self) -> bool:
        """Let nobody in any more, and wait for those inside; whether all left in time."""
        self._gate.closing = True
        for _ in range(int(self._bounds.timeout * 20)):
            if not self._gate.active:
                return True
            await asyncio.sleep(0.05)
        return False

    async def _answer(self, table: pa.Table) -> pa.Table:
        rows = to_ipc(table)
        for step, stage in zip(self._plan.steps, self._stages, strict=True):
            rows = await _called(step, stage, rows)
        return pa.ipc.open_stream(rows).read_all()

    async def _ready(self) -> str | None:
        for step, stage in zip(self._plan.steps, self._stages, strict=True):
            try:
                await asyncio.wait_for(_checked(stage), READY_SECONDS)
            except (TimeoutError, GristmillError, RayServeException, ray.exceptions.RayError):
                return f"{step.label} has no replica that answers"
        return None


async def _checked(stage: Any) -> None:
    await stage.check_health.remote()


async def _called(step: Step, stage: Any, rows: bytes) -> bytes:
    """Ask a stage. Raises what it failed with, or RunFailed where its replica is gone."""
    try:
        answered: bytes = await stage.answer.remote(rows)
    except GristmillError as error:
        raise StageFailed(f"{step.label} cannot answer: {_cause(error)}") from None
    except (RayServeException, ray.exceptions.RayError) as error:
        raise RunFailed(f"{step.label} ended while it answered; try again") from error
    return answered


def _cause(error: GristmillError) -> str:
    """The words of an error of ours; on its way through Ray a traceback is added to them."""
    return str(getattr(error, "cause", error))


def application(plan: Plan, bounds: Bounds, token: bytes | None, cpus: Mapping[str, float]) -> Any:
    """The Serve application of a plan; `cpus` are those of a replica, by the step's label."""
    job = Job(plan, Store.at(plan.pipeline.sink.path, plan.base), "serve")
    stages = [_stage(job, number, cpus, bounds) for number in range(len(plan.steps))]
    deployed = serve.deployment(serve.ingress()(Ingress)).options(
        name=INGRESS,
        num_replicas=1,  # draining waits for one place; it parses, which is little beside a model
        max_ongoing_requests=bounds.max_waiting + 32,  # probes come in beside the requests
        graceful_shutdown_timeout_s=bounds.timeout,
        ray_actor_options={"num_cpus": READ_CPUS},
    )
    return deployed.bind(plan, bounds, token, *stages)


def _stage(job: Job, number: int, cpus: Mapping[str, float], bounds: Bounds) -> Any:
    """One stage's deployment; every argument that Serve gets stands here."""
    step = job.plan.steps[number]
    least, most = step.pool.min, step.pool.max or step.pool.min
    scale = {"min_replicas": least, "max_replicas": most, "initial_replicas": least}
    options: dict[str, Any] = (
        {"autoscaling_config": scale} if most > least else {"num_replicas": least}
    )
    deployed = serve.deployment(StageReplica).options(
        name=f"stage-{step.number}-{step.task.replace(':', '.')}",
        max_ongoing_requests=bounds.max_waiting,
        # The supervisor tries again what a second try can help.
        max_constructor_retry_count=1,
        graceful_shutdown_timeout_s=bounds.timeout,
        ray_actor_options={"num_cpus": cpus[step.label], "num_gpus": step.resources.gpus},
        **options,
    )
    return deployed.bind(job, number)


class ServiceArgs(Bounds):
    """What a Serve config says of a service, under `args`."""

    file: str = Field(description="the pipeline file; all machines must find it there")
    set: tuple[str, ...] = Field((), description="changes of the file: a.b.0.c=value")
    cache: str = Field(description="folder of embedded models")
    token_file: str | None = Field(None, description="file that holds the service's token")


def build(args: ServiceArgs) -> Any:
    """The application that a Serve config describes: `import_path: pipelines.serving:build`."""
    path = Path(args.file)
    base, cache = path.resolve().parent, Path(args.cache).expanduser()
    plan = plan_service(load(path, args.set), path.name, base, cache)
    token = digest_of(read_token(Path(args.token_file))) if args.token_file else None
    bounds = Bounds(**args.model_dump(include=set(Bounds.model_fields)))
    return application(plan, bounds, token, {s.label: s.resources.cpus or 1.0 for s in plan.steps})
