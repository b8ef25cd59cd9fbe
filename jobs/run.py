"""`gristmill run`: answer what is not answered, and say what came of it."""

import contextlib
import platform
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from actors.errors import GristmillError, StillWritten, UsageError
from jobs.gates import Decision, check_alone, opened, settle, target
from jobs.session import connected
from jobs.telling import telling
from pipelines.arrivals import Arrivals
from pipelines.dispatch import Status
from pipelines.flow import Job
from pipelines.ledger import Ledger, read_all, read_counting, remove
from pipelines.lock import Lock
from pipelines.plan import Plan, make_plan
from pipelines.pools import sizes
from pipelines.record import Record, check_same, is_news, known_columns, known_speed, packed, write
from pipelines.reuse import Reuse, reuse_of
from pipelines.sinks.publishing import publishing
from pipelines.sources.listing import shown
from pipelines.spec import Pipeline
from pipelines.state import (
    Sorted,
    arrivals_of,
    check_changes,
    check_deletions,
    check_root,
    drops,
    retry_tickets,
    sort_files,
    waiting_message,
    withdraw_old,
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
    """A pipeline whose source is listed and whose plan is checked.

    `waiting` are files that are still being written, name -> why; they are not among `files`.
    """

    plan: Plan
    files: tuple[SourceFile, ...]
    store: Store
    waiting: Mapping[str, str] = field(default_factory=dict)


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
    source: Arrivals = field(default_factory=Arrivals)
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


def prepare(
    pipeline: Pipeline, file: str, base: Path, cache: Path, fresh: bool = False
) -> Prepared:
    """List the source and check the plan; loads no model. Raises UsageError, StillWritten.

    With `fresh`, what earlier runs answered, and the types that they read, do not bind.
    """
    store = Store.at(pipeline.sink.path, base)
    try:
        found = pipeline.source.files(base, dict if fresh else lambda: read_all(store).files)
        files, waiting = pipeline.source.settled(found, time.time())
        if waiting and not files:
            raise StillWritten(waiting_message(waiting), waiting)
        known = known_columns(store) if not fresh else pa.schema([])
        schema = pipeline.source.offers(files, known, lambda: _new(files, store, fresh))
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
    plan = make_plan(pipeline, file, base, cache, schema)
    _check_apart(found, store)
    pipeline.sink.check(store, plan.columns)
    return Prepared(plan, tuple(files), store, waiting)


def _new(files: Sequence[SourceFile], store: Store, fresh: bool) -> Sequence[SourceFile]:
    """The files that are not answered as they are, or all if the output is begun anew."""
    if fresh:
        return files
    found = sort_files(files, read_all(store))
    return [*found.todo, *found.changed]


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
        ledger, verdict = opened(
            plan, store, run_id, options.held, lambda known: _dropped(prepared, known)
        )
        if options.fresh:
            ledger = Ledger([])
        prepared = prepared if options.held else _looked_again(prepared, ledger)
        files = Sorted((), (), ()) if options.held else _files(prepared, ledger)
        status, source = None, arrivals_of(plan.pipeline, files, prepared.waiting)
        has_work = not options.held and _has_work(plan, ledger, files, options)
        dropped = files.deleted if drops(plan.pipeline, files) else ()
        news = not options.held and is_news(store, source)
        if has_work or dropped or ledger.held or news:
            table = publishing(plan.pipeline.sink, store, plan.columns, run_id)
            with _recorded(store, _record(plan, run_id, start)) as finish, table:
                if has_work:
                    job = Job(plan, target(plan, store), run_id, reuse)
                    ledger, status = _answer(job, prepared, ledger, files, options, watch)
                    source = _left(plan, source, status)
                else:
                    ledger, _ = withdraw_old(plan.pipeline, store, ledger, files, run_id)
                verdict = settle(plan, store, run_id, dropped) or verdict
                finish(status or Status(), source, verdict)
        held_back = plan.pipeline.gates is not None or verdict is not None
        ledger = read_counting(store) if held_back else ledger
        _publish(plan, store, run_id, ledger if status is None or held_back else None)
    done = Status() if held_back else status or Status()
    return Outcome(
        run=run_id,
        output=store.shown,
        seconds=time.time() - start,
        rows=ledger.rows + done.rows,
        rejected=ledger.rejected + done.rejected - done.retried,
        status=status,
        max_rejected=plan.pipeline.errors.max_rejected,
        ignored=len(files.changed) if plan.pipeline.on_change == "ignore" else 0,
        source=source,
        verdict=verdict,
    )


def _left(plan: Plan, source: Arrivals, status: Status) -> Arrivals:
    """What the run itself saw: files that drifted, and, where they may settle, that grew."""
    drifted = {name: status.left_out[name] for name in status.drifted}
    grew = {
        n
        for n, why in status.left_out.items()
        if why == "changed" and plan.pipeline.source.may_grow
    }
    for name in grew:
        del status.left_out[name]
    waiting = {**source.waiting, **dict.fromkeys(grew, "it changed while it was read")}
    return replace(source, waiting=waiting, drifted=drifted)


def _publish(plan: Plan, store: Store, run_id: str, ledger: Ledger | None) -> None:
    """Bring the table, if there is one, up to the ledger, which is read anew after work."""
    sink = plan.pipeline.sink
    if sink.is_table:
        counting = read_counting(store) if ledger is None else ledger
        sink.publish(store, counting, plan.columns, run_id)


def _files(prepared: Prepared, ledger: Ledger) -> Sorted:
    """The source's files against what is answered. Raises UsageError if they do not agree."""
    check_same(prepared.store, ledger, prepared.plan)
    check_root(prepared.files, ledger)
    files = _sorted(prepared, ledger)
    check_changes(prepared.plan.pipeline, files)
    return files


def _sorted(prepared: Prepared, ledger: Ledger) -> Sorted:
    """The files sorted. Raises UsageError if too many are deleted."""
    files = sort_files(prepared.files, ledger, prepared.waiting)
    check_deletions(prepared.plan.pipeline, ledger, files)
    return files


def _dropped(prepared: Prepared, ledger: Ledger) -> tuple[str, ...]:
    """The deleted files whose rows go. Raises UsageError."""
    if prepared.plan.pipeline.on_delete != "drop":
        return ()
    return _sorted(_looked_again(prepared, ledger), ledger).deleted


def _looked_again(prepared: Prepared, ledger: Ledger) -> Prepared:
    """List the source once more, under the lock, if files seem changed or deleted: another run may
    have answered files meanwhile that came, or changed, after our listing."""
    plan, source = prepared.plan, prepared.plan.pipeline.source
    files = sort_files(prepared.files, ledger, prepared.waiting)
    gone = files.deleted and (plan.pipeline.on_delete != "keep" or source.rewrites)
    if not gone and not (files.changed and plan.pipeline.on_change != "ignore"):
        return prepared
    found, waiting = source.settled(source.files(plan.base, lambda: ledger.files), time.time())
    return replace(prepared, files=tuple(found), waiting=waiting)


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
        ledger, files = withdraw_old(pipeline, store, ledger, files, job.run)
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
            plan.pipeline.model_dump(mode="json", by_alias=True, exclude={"notify": {"webhook"}})
        ),
        reads=packed(plan.read),
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
def _recorded(
    store: Store, record: Record
) -> Iterator[Callable[[Status, Arrivals, Verdict | None], None]]:
    """Keep the run's record: when it starts, and how it ended."""
    write(store, record)
    ended = replace(record, state="failed")

    def finish(status: Status, source: Arrivals, verdict: Verdict | None) -> None:
        nonlocal ended
        ended = replace(
            record,
            state="held" if verdict is not None and verdict.state == "held" else "done",
            rows=status.rows,
            rejected=status.rejected,
            steps={label: asdict(step.report) for label, step in status.steps.items()},
            files=source.counts(),
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
