"""`gristmill run`: answer what is not answered, and say what came of it."""

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from actors.errors import UsageError
from jobs.clusters.machines import wait_for
from jobs.clusters.session import connected
from jobs.gates import asks_for_rows, check_alone, opened, settle, target
from jobs.interrupts import heeded
from jobs.outcome import PLAIN, Options, Outcome
from jobs.prepare import Prepared, check_output, dropped, files_of, looked_again
from jobs.recording import record_of, recorded
from jobs.telling.telling import telling
from pipelines.arrivals import Arrivals
from pipelines.calibration import known
from pipelines.dispatch import Status
from pipelines.flow import Job
from pipelines.ledger import Ledger, read_counting, remove
from pipelines.lock import Lock
from pipelines.plan import Plan
from pipelines.pools import share, smallest
from pipelines.record import is_news
from pipelines.reuse import Reuse, reuse_of
from pipelines.sinks.publishing import publishing
from pipelines.state import (
    Sorted,
    arrivals_of,
    drops,
    retry_tickets,
    withdraw_old,
    work_of,
)
from pipelines.store import DATA, REJECTS, Store


def run(
    prepared: Prepared,
    options: Options = PLAIN,
    watch: Callable[[Plan, Status], None] = lambda plan, status: None,
    say: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Run a prepared pipeline; `watch` hears how far it is, `say` what it waits for.

    Raises RunFailed and its kinds, UsageError, KeyboardInterrupt.
    """
    run_id = time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + secrets.token_hex(3)
    with telling(prepared, options, run_id) as ended:
        outcome = _run(prepared, options, watch, say, run_id)
        ended(outcome)
    return outcome


def _run(
    prepared: Prepared,
    options: Options,
    watch: Callable[[Plan, Status], None],
    say: Callable[[str], None],
    run_id: str,
) -> Outcome:
    plan, store = prepared.plan, prepared.store
    check_output(store)
    check_alone(options)
    reuse = _reuse(plan, store, options)
    start = time.time()
    store.prepare()
    with Lock(store, run_id).held():
        ledger, verdict = opened(
            plan, store, run_id, options.held, lambda known: dropped(prepared, known)
        )
        if options.fresh:
            ledger = Ledger([])
        prepared = prepared if options.held else looked_again(prepared, ledger)
        files = Sorted((), (), ()) if options.held else files_of(prepared, ledger)
        status, source = None, arrivals_of(plan.pipeline, files, prepared.waiting)
        has_work = not options.held and _has_work(plan, ledger, files, options)
        gone = files.deleted if drops(plan.pipeline, files) else ()
        news = not options.held and (is_news(store, source) or asks_for_rows(plan))
        if has_work or gone or ledger.held or news:
            table = publishing(plan.pipeline.sink, store, plan.columns, run_id)
            with recorded(store, record_of(plan, run_id, start)) as finish, table:
                if has_work:
                    job = Job(plan, target(plan, store), run_id, reuse)
                    ledger, status = _answer(job, prepared, ledger, files, options, watch, say)
                    source = _left(plan, source, status)
                else:
                    ledger, _ = withdraw_old(plan.pipeline, store, ledger, files, run_id)
                verdict = settle(plan, store, run_id, gone) or verdict
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


def _has_work(plan: Plan, ledger: Ledger, files: Sorted, options: Options) -> bool:
    again = files.changed and plan.pipeline.on_change == "reprocess"
    retry = options.retry_rejects and ledger.rejected
    return bool(options.fresh or files.todo or again or retry)


def _answer(
    job: Job,
    prepared: Prepared,
    ledger: Ledger,
    files: Sorted,
    options: Options,
    watch: Callable[[Plan, Status], None],
    say: Callable[[str], None],
) -> tuple[Ledger, Status]:
    """Do the work on Ray. Old answers are only taken back when the plan is known to fit."""
    say(f"joining Ray at {options.address}" if options.address else "starting Ray on this machine")
    with heeded():
        from pipelines import graph  # imports Ray, which a run with nothing to do does not need

    plan, store, pipeline = job.plan, prepared.store, job.plan.pipeline
    costs = known(store, plan)
    if costs.speed and not costs.exact:
        say("the stages were measured on another machine: pools follow the ratios between them")
    with connected(options.address) as machines:
        pools = share(plan, machines, costs.speed, costs.memory)
        machines = wait_for(smallest(plan, pools), machines, say)
        pools = share(plan, machines, costs.speed, costs.memory)
        if options.fresh:
            _clear(store, job.run)
            _clear(store.held, job.run)
        ledger, files = withdraw_old(pipeline, store, ledger, files, job.run)
        retries = (
            retry_tickets(pipeline, store, ledger, prepared.files) if options.retry_rejects else []
        )
        work = work_of(ledger, files, retries)
        say(f"starting workers and loading models: {', '.join(step.label for step in plan.steps)}")
        return ledger, graph.run(
            job, work, pools, costs.exact, options.limit, lambda s: watch(plan, s)
        )


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
