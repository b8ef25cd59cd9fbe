"""`gristmill run`: answer what is not answered, and say what came of it."""

import contextlib
import platform
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from actors.errors import GristmillError, UsageError
from jobs.gates import Decision, check_alone, opened, settle, target
from jobs.session import connected
from jobs.telling import telling
from pipelines.dispatch import Status
from pipelines.flow import Job
from pipelines.ledger import Ledger, read_all, read_ledger, remove
from pipelines.lock import Lock
from pipelines.plan import Plan, make_plan
from pipelines.pools import sizes
from pipelines.record import Record, check_same, known_speed, write
from pipelines.reuse import Reuse, reuse_of
from pipelines.sources.listing import shown
from pipelines.spec import Pipeline
from pipelines.state import (
    Sorted,
    check_changes,
    check_root,
    retry_tickets,
    settle_changes,
    sort_files,
    work_of,
)
from pipelines.store import DATA, OURS, REJECTS, Store
from pipelines.units import SourceFile
from pipelines.verdict import Verdict

VERSIONS = ("gristmill", "ray", "torch", "transformers", "pyarrow", "pillow")


@dataclass(frozen=True, slots=True)
class Options:
    """What `run` can be asked beside the pipeline file."""

    limit: int | None = None
    retry_rejects: bool = False
    address: str | None = None
    fresh: bool = False
    reuse: str | None = None
    held: Decision | None = None
    lineage: str | None = None
    lineage_parent: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A pipeline whose source is listed and whose plan is checked."""

    plan: Plan
    files: tuple[SourceFile, ...]
    store: Store


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. `status` is this run; `rows` and `rejected` the whole output now.

    `verdict` is what the gates said, if they had rows to look at. `ignored` counts files that
    changed since they were answered, under on_change: ignore.
    """

    run: str
    output: str
    seconds: float
    rows: int
    rejected: int
    status: Status | None
    max_rejected: float
    ignored: int = 0
    verdict: Verdict | None = None

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return asdict(self) | {"exit_code": self.exit_code, "held": self.held}

    @property
    def held(self) -> int:
        """Rows that wait, because a gate did not hold."""
        waits = self.verdict is not None and self.verdict.state == "held"
        return self.verdict.rows + self.verdict.rejected if waits and self.verdict else 0

    @property
    def exit_code(self) -> int:
        """1 if files were left out or rows are held, 3 if too many rows are rejected, else 0."""
        if self.held or (self.status is not None and self.status.left_out):
            return 1
        total = self.rows + self.rejected
        return 3 if total and self.rejected / total > self.max_rejected else 0


def prepare(pipeline: Pipeline, file: str, base: Path, cache: Path) -> Prepared:
    """List the source and check the plan; loads no model. Raises UsageError."""
    store = Store.at(pipeline.sink.path, base)
    try:
        files = tuple(pipeline.source.files(base, lambda: read_all(store).files))
        schema = pipeline.source.offers(files)
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
    plan = make_plan(pipeline, file, base, cache, schema)
    _check_apart(files, store)
    pipeline.sink.check(store, plan.columns)
    return Prepared(plan, files, store)


def run(
    prepared: Prepared,
    options: Options = Options(),
    watch: Callable[[Plan, Status], None] = lambda plan, status: None,
) -> Outcome:
    """Run a prepared pipeline; `watch` hears how far it is.

    Raises RunFailed and its kinds, UsageError, KeyboardInterrupt.
    """
    run_id = time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + secrets.token_hex(3)
    with telling(prepared, options, run_id) as ended:
        outcome = _run(prepared, options, watch, run_id)
        ended(outcome)
    return outcome


def _run(
    prepared: Prepared, options: Options, watch: Callable[[Plan, Status], None], run_id: str
) -> Outcome:
    plan, store = prepared.plan, prepared.store
    check_output(store)
    check_alone(options)
    reuse = _reuse(plan, store, options)
    start = time.time()
    store.prepare()
    with Lock(store, run_id).held():
        ledger, verdict = opened(plan, store, run_id, options.held)
        if options.fresh:
            ledger = Ledger([])
        files = Sorted((), (), ()) if options.held else _files(prepared, ledger)
        status = None
        work = _has_work(plan, ledger, files, options)
        if work or ledger.held:
            with _recorded(store, _record(plan, run_id, start)) as finish:
                if work:
                    job = Job(plan, target(plan, store), run_id, reuse)
                    ledger, status = _answer(job, prepared, ledger, files, options, watch)
                verdict = settle(plan, store, run_id) or verdict
                finish(status or Status(), verdict)
        if verdict is not None:
            ledger = read_ledger(store)
    done = Status() if verdict is not None else status or Status()
    return Outcome(
        run=run_id,
        output=store.shown,
        seconds=time.time() - start,
        rows=ledger.rows + done.rows,
        rejected=ledger.rejected + done.rejected - done.retried,
        status=status,
        max_rejected=plan.pipeline.errors.max_rejected,
        ignored=len(files.changed) if plan.pipeline.on_change == "ignore" else 0,
        verdict=verdict,
    )


def _files(prepared: Prepared, ledger: Ledger) -> Sorted:
    """The source's files against what is answered. Raises UsageError if they do not agree."""
    check_same(prepared.store, ledger, prepared.plan)
    check_root(prepared.files, ledger)
    files = sort_files(prepared.files, ledger)
    check_changes(prepared.plan.pipeline, files)
    return files


def _has_work(plan: Plan, ledger: Ledger, files: Sorted, options: Options) -> bool:
    again = files.changed and plan.pipeline.on_change == "reprocess"
    retry = options.retry_rejects and ledger.rejected
    return bool(options.fresh or files.todo or again or retry)


def check_output(store: Store) -> None:
    """Refuse a folder with files that we did not write. Raises UsageError."""
    names = store.top()
    if names and OURS not in names:
        raise UsageError(
            f"{store.shown} holds files that gristmill did not write: {', '.join(names[:5])}.\n"
            "  give the sink a folder of its own:  sink: {kind: parquet, path: NEW_FOLDER}"
        )


def _check_apart(files: Sequence[SourceFile], store: Store) -> None:
    """Refuse to take an output's own files for its source. Raises UsageError."""
    inside = next((f for f in files if f.path.startswith(store.path + "/")), None)
    if inside is not None:
        raise UsageError(
            f"the sink {store.shown} lies inside the source: {inside.name!r} is one of its files.\n"
            "  give the sink a folder outside the source's, or name the source's files by a glob"
        )


def _answer(
    job: Job,
    prepared: Prepared,
    ledger: Ledger,
    files: Sorted,
    options: Options,
    watch: Callable[[Plan, Status], None],
) -> tuple[Ledger, Status]:
    """Do the work on Ray. Old answers are only taken back when the plan is known to fit."""
    from pipelines import graph  # imports Ray, which a run with nothing to do does not need

    plan, store, pipeline = job.plan, prepared.store, job.plan.pipeline
    speed = known_speed(store, plan)
    with connected(options.address) as capacity:
        pools = sizes(plan, capacity.cpus, capacity.gpus, speed)
        if options.fresh:
            _clear(store, job.run)
            _clear(store.held, job.run)
        ledger, files = settle_changes(pipeline, store, ledger, files, job.run)
        retries = (
            retry_tickets(pipeline, store, ledger, prepared.files) if options.retry_rejects else []
        )
        work = work_of(ledger, files, retries)
        return ledger, graph.run(job, work, pools, speed, options.limit, lambda s: watch(plan, s))


def _reuse(plan: Plan, store: Store, options: Options) -> Reuse | None:
    if options.reuse is None:
        return None
    old = Store.at(options.reuse, Path.cwd())
    if old == store:
        raise UsageError(
            f"--reuse {old.shown}: this is the output that the run writes to.\n"
            "  give the sink a new path, as in  --set sink.path=NEW_FOLDER"
        )
    return reuse_of(old, plan)


def _clear(store: Store, run: str) -> None:
    """Start anew: data first, because it is what counts."""
    for folder in (DATA, REJECTS):
        remove(store, run, [f"{folder}/{name}" for name in store.names(folder)])


def _record(plan: Plan, run_id: str, start: float) -> Record:
    return Record(
        run=run_id,
        state="running",
        started=start,
        stopped=None,
        fingerprint=plan.fingerprint,
        description=plan.description,
        pipeline=_without_secrets(
            # The address of a webhook often is its password.
            plan.pipeline.model_dump(mode="json", exclude={"notify": {"webhook"}})
        ),
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
def _recorded(store: Store, record: Record) -> Iterator[Callable[[Status, Verdict | None], None]]:
    """Keep the run's record: when it starts, and how it ended."""
    write(store, record)
    ended = replace(record, state="failed")

    def finish(status: Status, verdict: Verdict | None) -> None:
        nonlocal ended
        ended = replace(
            record,
            state="held" if verdict is not None and verdict.state == "held" else "done",
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
