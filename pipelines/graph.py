"""The one place where a checked plan becomes a Ray Data graph.

    deal -> read -> stage 1 -> ... -> stage n -> commit

One row of Ray's is one unit, so that no block is ever merged or re-cut. `deal` is one generator
task that waits for room, which bounds what is in flight. Reading has actors of its own: a read
task of equal resources would be fused into the first stage's actors, and wait for the model.
"""

import contextlib
import logging
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.errors import GristmillError, RunFailed
from pipelines import flow
from pipelines.dispatch import Dispatcher, Place, Status, Work
from pipelines.flow import Job
from pipelines.plan import Plan
from pipelines.pools import COMMIT, READ, Size

UNIT_TRIES = 8
"""Times that a unit may end its actor, beyond what the supervisor catches, before the run fails."""

STATUS_SECONDS = 0.5
"""How often the driver asks how far the run is."""


def run(
    job: Job,
    work: Work,
    pools: Mapping[str, Size],
    speed: Mapping[str, float],
    limit: int | None,
    watch: Callable[[Status], None],
) -> Status:
    """Answer the work and commit it, unit by unit, on the connected Ray.

    `watch` hears of the progress. Raises RunFailed and its kinds; what is committed stays.
    """
    # On the driver's machine, which the run does not outlive in any case.
    dispatcher = _RemoteDispatcher.options(
        num_cpus=0, max_concurrency=8, scheduling_strategy=_here()
    ).remote(
        job.plan.pipeline.source,
        job.plan.read,
        work,
        {step.label: pools[step.label].first for step in job.plan.steps},
        speed,
        limit,
    )
    with _settings(), _quiet(), _watching(dispatcher, watch):
        dataset = _graph(ray.put(job), job.plan, pools, dispatcher)
        try:
            for _ in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
                pass
        except (ray.exceptions.RayError, ray.exceptions.GetTimeoutError) as error:
            raise (_failure(dispatcher) or _ended(error)) from error
    status: Status = ray.get(dispatcher.status.remote())
    watch(status)
    if status.under_way:
        raise RunFailed(
            f"Ray ended the run with {status.under_way} units not committed.\n"
            "  what is committed stays; run again to go on"
        )
    return status


_RemoteDispatcher = ray.remote(Dispatcher)


def _graph(job: Any, plan: Plan, pools: Mapping[str, Size], dispatcher: Any) -> Any:
    """Build the lazy data set; every argument that Ray gets stands here."""
    read, commit = pools[READ], pools[COMMIT]
    here = _here()
    dataset = ray.data.from_arrow(pa.table({"lane": [0]}))
    dataset = dataset.map_batches(
        _deal,
        fn_args=(dispatcher,),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=0,
        ray_remote_args_fn=lambda: {"scheduling_strategy": here},
    )
    dataset = dataset.map_batches(
        Reader,
        fn_constructor_args=(job, dispatcher),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=read.cpus,
        compute=_pool(read),
        ray_remote_args_fn=_Placing(read.nodes),
    )
    for number, step in enumerate(plan.steps):
        size = pools[step.label]
        dataset = dataset.map_batches(
            StepActor,
            fn_constructor_args=(job, number, dispatcher),
            batch_size=1,  # a row, which is a unit; Ray wants a number where there are GPUs
            batch_format="pyarrow",
            zero_copy_batch=True,
            num_cpus=size.cpus,
            num_gpus=size.gpus,
            memory=size.memory or None,
            compute=_pool(size),
            ray_remote_args_fn=_Placing(size.nodes),
        )
    return dataset.map_batches(
        Committer,
        fn_constructor_args=(job, dispatcher),
        batch_size=None,
        batch_format="pyarrow",
        zero_copy_batch=True,
        num_cpus=commit.cpus,
        compute=_pool(commit),
        ray_remote_args_fn=_Placing(commit.nodes),
    )


def _pool(size: Size) -> ActorPoolStrategy:
    """A pool that starts with its first actors, at once, and grows when machines come."""
    return ActorPoolStrategy(
        min_size=size.least, initial_size=size.first, max_size=max(size.most, size.first)
    )


def _here() -> NodeAffinitySchedulingStrategy:
    """On the machine of the driver."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


class _Placing:
    """What Ray gets for each actor of a pool as it starts: for the first ones, where they go.

    Actors come back as often as machines die; a unit that ends its actors does not.
    """

    def __init__(self, nodes: Sequence[str]) -> None:
        self._left = deque(nodes)

    def __call__(self) -> dict[str, Any]:
        options: dict[str, Any] = {"max_restarts": -1, "max_task_retries": UNIT_TRIES}
        if self._left:
            # Soft: if the machine is gone by then, or dies, the actor lives on another one.
            node = NodeAffinitySchedulingStrategy(self._left.popleft(), soft=True)
            options["scheduling_strategy"] = node
        return options


def _deal(_: pa.Table, dispatcher: Any) -> Iterator[pa.Table]:
    """Yield one ticket after the other; a retried task yields the same ones again."""
    number = 0
    while True:
        dealt = ray.get(dispatcher.deal.remote(number))
        if dealt.ticket is not None:
            yield _block(flow.UnitRows(dealt.ticket, pa.table({})))
            number += 1
        elif not dealt.later:
            return


class Reader:
    """Reads units from the source."""

    def __init__(self, job_ref: Any, dispatcher: Any) -> None:
        self._job = _get(job_ref)
        self._dispatcher = dispatcher

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Read the unit of each ticket."""
        for unit in _units(batch):
            with _telling(self._dispatcher):
                rows = flow.read(self._job, unit.ticket)
            yield _block(rows)


class StepActor:
    """One actor of one step's pool."""

    def __init__(self, job_ref: Any, number: int, dispatcher: Any) -> None:
        self._dispatcher = dispatcher
        context = ray.get_runtime_context()
        self._place = Place(context.get_node_id(), context.get_actor_id())
        with _telling(dispatcher):
            self._worker = flow.StepWorker(_get(job_ref), number)
            self._worker.start()
        dispatcher.step_ready.remote(self._worker.step.label)

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Answer each unit of a block; a block is one unit."""
        for unit in _units(batch):
            with _telling(self._dispatcher):
                answered = self._worker.answer(unit)
            label = self._worker.step.label
            self._dispatcher.step_done.remote(label, answered.took[label].report, self._place)
            yield _block(answered)


class Committer:
    """Puts units in place."""

    def __init__(self, job_ref: Any, dispatcher: Any) -> None:
        self._job = _get(job_ref)
        self._dispatcher = dispatcher

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Commit each unit of a block, and say so."""
        for unit in _units(batch):
            with _telling(self._dispatcher):
                done = flow.commit_unit(self._job, unit)
            ray.get(self._dispatcher.committed.remote(done))
        return pa.table({"units": [batch.num_rows]})


@contextlib.contextmanager
def _telling(dispatcher: Any) -> Iterator[None]:
    """Tell the dispatcher of an error of ours; on its way through Ray it becomes another."""
    try:
        yield
    except GristmillError as error:
        ray.get(dispatcher.failed.remote(error))
        raise


def _get(job: Any) -> Job:
    """The job behind a reference, wherever Ray has resolved it already."""
    found: Job = ray.get(job) if isinstance(job, ray.ObjectRef) else job
    return found


def _block(unit: flow.UnitRows) -> pa.Table:
    """A unit as a block of one row."""
    row = unit.dumps()
    return pa.table(
        {"head": pa.array([row["head"]]), "rows": pa.array([row["rows"]], pa.large_binary())}
    )


def _units(batch: pa.Table) -> Iterator[flow.UnitRows]:
    for head, rows in zip(batch["head"], batch["rows"], strict=True):
        yield flow.UnitRows.loads(head.as_py(), rows.as_buffer())


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """Ray Data's settings for our graph, put back afterwards."""
    context = DataContext.get_current()
    ours = {
        # Smaller than any block: each unit is passed on as soon as it is there, alone.
        "target_max_block_size": 1,
        "enable_progress_bars": False,
        "print_on_execution_start": False,
        # A model may take minutes to load, and the plan has been checked to fit.
        "wait_for_min_actors_s": 1800,
    }
    before = {name: getattr(context, name) for name in ours}
    level = logging.getLogger("ray.data").level
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    for name, value in ours.items():
        setattr(context, name, value)
    try:
        yield
    finally:
        logging.getLogger("ray.data").setLevel(level)
        for name, value in before.items():
            setattr(context, name, value)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray Data's advice to programmers from the people who run pipelines."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The (mini|maxi)mum number of concurrent")
        # How actors restart can be said in no other way in this version.
        warnings.filterwarnings("ignore", message="`ray_remote_args_fn` is deprecated")
        yield


@contextlib.contextmanager
def _watching(dispatcher: Any, watch: Callable[[Status], None]) -> Iterator[None]:
    """Tell `watch` how far the run is, from a thread, until the block ends."""
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(STATUS_SECONDS):
            with contextlib.suppress(ray.exceptions.RayError):
                watch(ray.get(dispatcher.status.remote(whole=False), timeout=30))

    thread = threading.Thread(target=look, daemon=True, name="progress")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _failure(dispatcher: Any) -> GristmillError | None:
    """The error of ours that ended the run, if that is what did."""
    try:
        found: GristmillError | None = ray.get(dispatcher.failure.remote(), timeout=30)
    except ray.exceptions.RayError:
        return None
    return found


def _ended(error: BaseException) -> RunFailed:
    """RunFailed with Ray's words: the first sentence of what went wrong first."""
    first = str(error).strip().split("\n\nThe above exception was the direct cause")[0]
    last = (first.splitlines() or [type(error).__name__])[-1]
    return RunFailed(
        f"Ray ended the run: {last.split('. ')[0].rstrip('.')}.\n"
        "  what is committed stays; run again to go on"
    )
