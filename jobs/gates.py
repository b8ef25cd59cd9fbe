"""What a run does with rows that wait for its gates: judge them, release them, or keep them."""

import getpass
import socket
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from actors.errors import UsageError
from jobs.outcome import Decision, Options
from pipelines.held import discard, keep_verdict, recover_all, release, take_back
from pipelines.ledger import Ledger, read_ledger, withdraw
from pipelines.plan import Plan
from pipelines.record import check_same
from pipelines.store import DATA, Store
from pipelines.verdict import Verdict, judge


def check_alone(options: Options) -> None:
    """Refuse to decide about held rows and answer others in one go. Raises UsageError."""
    others = {
        "--limit": options.limit,
        "--retry-rejects": options.retry_rejects,
        "--fresh": options.fresh,
        "--reuse": options.reuse,
    }
    given = [flag for flag, value in others.items() if value]
    if options.held and given:
        raise UsageError(
            f"--{options.held}-held and {given[0]}: deciding about held rows is a run of its own.\n"
            f"  first  gristmill run FILE --{options.held}-held , then the other"
        )


def target(plan: Plan, store: Store) -> Store:
    """Where a run commits: beside the data if the pipeline has gates. Makes the folders."""
    if plan.pipeline.gates is None:
        return store
    store.held.prepare()
    return store.held


def opened(
    plan: Plan,
    store: Store,
    run: str,
    decision: Decision | None,
    dropped: Callable[[Ledger], Iterable[str]],
) -> tuple[Ledger, Verdict | None]:
    """What is answered, after a decision about held rows, if one was made. Hold the lock.

    `dropped` tells which files' rows go out when others come in; held rows of these never come in.
    Held rows of a pipeline that has no gates any more are released. Raises UsageError if there is
    nothing to decide, or the pipeline that made the rows was another.
    """
    ledger = recover_all(store, run)
    if decision and not ledger.held:
        raise UsageError(f"--{decision}-held: {store.shown} holds no rows back.")
    if decision == "discard":
        # Without the gates: of another pipeline, the rows may not have their columns.
        found = judge(store, None, plan.columns, run, time.time())
        verdict = replace(found, state="discarded", by=_who())
        ledger = discard(store, run)
        keep_verdict(store, run, run, verdict.as_dict())
        return ledger, verdict
    if not ledger.held or (plan.pipeline.gates and not decision):
        return ledger, None
    check_same(store, ledger, plan)
    gone = set(dropped(ledger))
    if gone:
        take_back(store, ledger, gone, run)
    by = _who() if decision else "the pipeline, which has no gates"
    verdict = replace(_judged(plan, store, run), state="released", by=by)
    release(store, run, verdict.as_dict(), gone)
    return read_ledger(store), verdict


def settle(plan: Plan, store: Store, run: str, dropped: Collection[str]) -> Verdict | None:
    """Judge what is held and release it if the gates hold; None if nothing is held, nor had to be.

    Rows of files in `dropped` go out with the release; or now, if nothing waits for one.
    """
    if not store.held.names(DATA):
        if dropped and plan.pipeline.gates:
            withdraw(store, read_ledger(store), set(dropped), run)
        return _nothing_came(plan, store, run) if asks_for_rows(plan) else None
    verdict = _judged(plan, store, run)
    if verdict.passes:
        verdict = replace(verdict, state="released")
        release(store, run, verdict.as_dict(), dropped)
    else:
        keep_verdict(store, run, run, verdict.as_dict())
    return verdict


def asks_for_rows(plan: Plan) -> bool:
    """Whether a run that finds nothing new does not meet its gates."""
    gates = plan.pipeline.gates
    return bool(gates and gates.rows and gates.rows.min)


def _nothing_came(plan: Plan, store: Store, run: str) -> Verdict:
    """The verdict on no rows at all; gates on what rows are like say nothing of it."""
    gates = plan.pipeline.gates
    only_rows = gates and gates.model_copy(update={"rejected": None, "columns": {}})
    verdict = judge(store, only_rows, plan.columns, run, time.time())
    if verdict.passes:
        verdict = replace(verdict, state="released")
    keep_verdict(store, run, run, verdict.as_dict())
    return verdict


def _judged(plan: Plan, store: Store, run: str) -> Verdict:
    return judge(store, plan.pipeline.gates, plan.columns, run, time.time())


def _who() -> str:
    """The person at the terminal, for the record."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a user id without a name
        return f"somebody@{socket.gethostname()}"
