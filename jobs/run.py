"""`gristmill run`: answer what is not answered, and say what came of it."""

import contextlib
import platform
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from actors.errors import GristmillError, UsageError
from jobs.session import connected
from pipelines.dispatch import Status, Work
from pipelines.flow import Job
from pipelines.ledger import Ledger, read_ledger, recover
from pipelines.lock import Lock
from pipelines.plan import Plan, make_plan
from pipelines.record import Record, check_same, known_speed, write
from pipelines.reuse import Reuse, reuse_of
from pipelines.sources.listing import shown
from pipelines.spec import Pipeline
from pipelines.state import retry_tickets, settle_changes, sort_files, work_of
from pipelines.store import DATA, OURS, REJECTS, Store
from pipelines.units import SourceFile

VERSIONS = ("gristmill", "ray", "torch", "transformers", "pyarrow", "pillow")


@dataclass(frozen=True, slots=True)
class Options:
    """What `run` can be asked beside the pipeline file."""

    limit: int | None = None
    retry_rejects: bool = False
    address: str | None = None
    fresh: bool = False
    reuse: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A pipeline whose source is listed and whose plan is checked."""

    plan: Plan
    files: tuple[SourceFile, ...]
    store: Store


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. `status` is this run; `rows` and `rejected` the whole output now."""

    run: str
    output: str
    seconds: float
    rows: int
    rejected: int
    status: Status | None
    max_rejected: float

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return asdict(self) | {"exit_code": self.exit_code}

    @property
    def exit_code(self) -> int:
        """1 if files were left out, 3 if too many rows are rejected, else 0."""
        if self.status is not None and self.status.left_out:
            return 1
        total = self.rows + self.rejected
        return 3 if total and self.rejected / total > self.max_rejected else 0


def prepare(pipeline: Pipeline, file: str, base: Path, cache: Path) -> Prepared:
    """List the source and check the plan; loads no model. Raises UsageError."""
    files = tuple(pipeline.source.files(base))
    schema = pipeline.source.offers(files)
    plan = make_plan(pipeline, file, base, cache, schema)
    return Prepared(plan, files, Store.at(pipeline.sink.path, base))


def run(prepared: Prepared, options: Options, watch: Callable[[Plan, Status], None]) -> Outcome:
    """Run a prepared pipeline. Raises RunFailed and its kinds, UsageError, KeyboardInterrupt."""
    plan, store = prepared.plan, prepared.store
    check_output(store)
    reuse = _reuse(plan, options)
    run_id = time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + secrets.token_hex(3)
    start = time.time()
    store.prepare()
    with Lock(store, run_id).held():
        if options.fresh:
            _clear(store)
        ledger = recover(store)
        check_same(store, ledger, plan)
        work = _work(prepared, ledger, run_id, options)
        status = None
        if work.files or work.retries:
            with _recorded(store, _record(plan, run_id, start)) as finish:
                status = _answer(plan, store, run_id, work, options, reuse, watch)
                finish(status)
        ledger = read_ledger(store)
    return Outcome(
        run=run_id,
        output=store.shown,
        seconds=time.time() - start,
        rows=ledger.rows,
        rejected=ledger.rejected,
        status=status,
        max_rejected=plan.pipeline.errors.max_rejected,
    )


def check_output(store: Store) -> None:
    """Refuse a folder with files that we did not write. Raises UsageError."""
    names = store.top()
    if names and OURS not in names:
        raise UsageError(
            f"{store.path} holds files that gristmill did not write: {', '.join(names[:5])}.\n"
            "  give the sink a folder of its own:  sink: {kind: parquet, path: NEW_FOLDER}"
        )


def _work(prepared: Prepared, ledger: Ledger, run_id: str, options: Options) -> Work:
    plan, store = prepared.plan, prepared.store
    files = sort_files(prepared.files, ledger)
    ledger, files = settle_changes(plan.pipeline, store, ledger, files, run_id)
    retries = (
        retry_tickets(plan.pipeline, store, ledger, prepared.files) if options.retry_rejects else []
    )
    return work_of(ledger, files, retries)


def _answer(
    plan: Plan,
    store: Store,
    run_id: str,
    work: Work,
    options: Options,
    reuse: Reuse | None,
    watch: Callable[[Plan, Status], None],
) -> Status:
    from pipelines import graph  # imports Ray, which a run with nothing to do does not need

    speed = known_speed(store, plan)
    with connected(options.address) as capacity:
        pools = graph.sizes(plan, capacity.cpus, capacity.gpus, speed)
        job = Job(plan, store, run_id, reuse)
        return graph.run(job, work, pools, speed, options.limit, lambda s: watch(plan, s))


def _reuse(plan: Plan, options: Options) -> Reuse | None:
    if options.reuse is None:
        return None
    return reuse_of(Store.at(options.reuse, Path.cwd()), plan)


def _clear(store: Store) -> None:
    """Start anew: data first, because it is what counts."""
    for folder in (DATA, REJECTS, f"{OURS}/runs"):
        for name in store.names(folder):
            store.delete(f"{folder}/{name}")


def _record(plan: Plan, run_id: str, start: float) -> Record:
    return Record(
        run=run_id,
        state="running",
        started=start,
        stopped=None,
        fingerprint=plan.fingerprint,
        description=plan.description,
        pipeline=_without_secrets(plan.pipeline.model_dump(mode="json")),
        versions={name: version(name) for name in VERSIONS} | {"python": platform.python_version()},
    )


def _without_secrets(value: Any) -> Any:
    """The same value with what URIs may hold (keys, tokens) taken out: the output is for all."""
    if isinstance(value, dict):
        return {key: _without_secrets(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(inner) for inner in value]
    return shown(value) if isinstance(value, str) else value


@contextlib.contextmanager
def _recorded(store: Store, record: Record) -> Iterator[Callable[[Status], None]]:
    """Keep the run's record: when it starts, and how it ended."""
    write(store, record)
    ended = replace(record, state="failed")

    def finish(status: Status) -> None:
        nonlocal ended
        ended = replace(
            record,
            state="done",
            rows=status.rows,
            rejected=status.rejected,
            steps={label: asdict(step.report) for label, step in status.steps.items()},
            speed={label: s.seconds / s.rows for label, s in status.steps.items() if s.rows},
        )

    try:
        yield finish
    except KeyboardInterrupt:
        ended = replace(record, state="interrupted")
        raise
    except GristmillError as error:
        ended = replace(record, state="failed", error=str(error))
        raise
    finally:
        with contextlib.suppress(GristmillError):
            write(store, replace(ended, stopped=time.time()))
