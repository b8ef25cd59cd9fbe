"""The record that a run keeps of itself: what it is, and how it ended."""

import contextlib
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

from actors.errors import GristmillError
from pipelines.arrivals import Arrivals
from pipelines.dispatch import Status
from pipelines.plan import Plan
from pipelines.record import Record, packed, write
from pipelines.sources.listing import shown
from pipelines.store import Store
from pipelines.verdict import Verdict

VERSIONS = ("gristmill", "ray", "torch", "transformers", "pyarrow", "pillow")


def record_of(plan: Plan, run_id: str, start: float) -> Record:
    """The record of a run that begins at `start` (seconds, epoch)."""
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
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """What answers depend on, and its versions."""
    return {name: version(name) for name in VERSIONS} | {"python": platform.python_version()}


def _without_secrets(value: Any) -> Any:
    """The same value with what URIs may hold (keys, tokens) taken out: the output is for all."""
    if isinstance(value, dict):
        return {key: _without_secrets(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(inner) for inner in value]
    return shown(value) if isinstance(value, str) else value


@contextlib.contextmanager
def recorded(
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
            steps={n: asdict(s.report) | {"nodes": s.nodes} for n, s in status.steps.items()},
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
