"""Tells others of a run: lineage events when it starts and ends, a webhook when it ends."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from actors.errors import GristmillError
from jobs.outcome import Options, Outcome
from jobs.prepare import Prepared
from jobs.telling.lineage import Counts, Lineage
from jobs.telling.webhook import tell
from pipelines.notify import Event
from pipelines.plan import Plan
from pipelines.spec import Pipeline


@contextlib.contextmanager
def telling(prepared: Prepared, options: Options, run: str) -> Iterator[Callable[[Outcome], None]]:
    """Tell of the run inside; call what is yielded with its outcome.

    Raises UsageError if the lineage file cannot be written, and whatever the run raises.
    """
    plan, started = prepared.plan, time.time()
    lineage = _lineage(prepared, options, run)
    if lineage is not None:
        lineage.start()
    known = {"run": run, "output": prepared.store.shown, "started": started}
    outcomes: list[Outcome] = []
    try:
        yield outcomes.append
    except KeyboardInterrupt:
        if lineage is not None:
            lineage.stop("ABORT", None)
        raise
    except GristmillError as error:
        if lineage is not None:
            lineage.stop("FAIL", None, str(error))
        tell_failure(plan.pipeline, error, **known)
        raise
    for outcome in outcomes:
        _tell_end(plan, lineage, outcome, known)


@contextlib.contextmanager
def telling_refusal(pipeline: Pipeline) -> Iterator[None]:
    """Tell of a pipeline that cannot even be planned: a source that is gone, a model that is not
    there."""
    try:
        yield
    except GristmillError as error:
        tell_failure(pipeline, error, run=None)
        raise


def tell_failure(pipeline: Pipeline, error: GristmillError, **known: Any) -> None:
    """Tell the webhook of an error that ended a run, or kept it from beginning."""
    said = {"state": "failed", "exit_code": error.exit_code, "message": str(error)}
    _post(pipeline, "failed", {**known, **said})


def _tell_end(plan: Plan, lineage: Lineage | None, outcome: Outcome, known: dict[str, Any]) -> None:
    event, message = _ended(outcome)
    if lineage is not None:
        did = outcome.status
        counts = Counts(did.rows if did else 0, did.rejected if did else 0)
        good = event in ("finished", "rejected")
        lineage.stop("COMPLETE" if good else "FAIL", counts, None if good else message)
    said = {
        "state": "held" if outcome.fails_gates else "done",
        "exit_code": outcome.exit_code,
        "message": message,
        "rows": outcome.rows,
        "rejected": outcome.rejected,
        "held": outcome.held,
        "seconds": round(outcome.seconds, 3),
    }
    _post(plan.pipeline, event, {**known, **said})


def _ended(outcome: Outcome) -> tuple[Event, str]:
    """Which event an outcome is, and a sentence that says why."""
    if outcome.fails_gates and outcome.verdict is not None:
        found = (
            f"{f.gate}: expected {f.expected}, seen {f.seen}" for f in outcome.verdict.problems
        )
        what = f"{outcome.held} rows are held" if outcome.held else "no new rows came"
        return "gate", f"{what}; " + "; ".join(found)
    if outcome.exit_code == 1 and outcome.status is not None:
        return "failed", f"{len(outcome.status.left_out)} files were left out"
    if outcome.exit_code == 3:
        share = outcome.rejected / (outcome.rows + outcome.rejected)
        return "rejected", f"{share:.1%} of the rows are rejected"
    return "finished", f"{outcome.rows} rows, {outcome.rejected} rejects"


def _post(pipeline: Pipeline, event: Event, said: dict[str, Any]) -> None:
    """Send it, if the pipeline wants to be told of such an end."""
    if pipeline.notify is None or event not in pipeline.notify.events:
        return
    about = {"pipeline": pipeline.name, "event": event, "host": socket.gethostname()}
    tell(pipeline.notify, {**about, **said, "stopped": time.time()})


def _lineage(prepared: Prepared, options: Options, run: str) -> Lineage | None:
    plan = prepared.plan
    written = plan.pipeline.lineage
    file = Path(options.lineage) if options.lineage else written and plan.base / written
    if not file:
        return None
    parent = options.lineage_parent
    return Lineage(file, plan, prepared.files, prepared.store, run, parent)
