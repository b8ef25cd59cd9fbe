"""The record of each run, kept in the output: what ran, with which models, and what it took."""

import base64
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from typing import Any

import pyarrow as pa

from actors.errors import UsageError
from pipelines.arrivals import Arrivals
from pipelines.ledger import Ledger
from pipelines.parts import read_footer
from pipelines.plan import Plan
from pipelines.store import DATA, OURS, Store

RUNS = f"{OURS}/runs"


@dataclass(frozen=True, slots=True)
class Record:
    """One run. `state` is running, done, held (done, and a gate did not hold), failed or
    interrupted; times are seconds, epoch; `files` counts source files that were no plain work
    (waiting, deleted, changed, drifted); `reads` holds the source's columns that were read (a
    schema of Arrow's, base64)."""

    run: str
    state: str
    started: float
    stopped: float | None
    fingerprint: str
    description: dict[str, Any]
    pipeline: dict[str, Any]
    versions: dict[str, str]
    rows: int = 0
    rejected: int = 0
    steps: dict[str, Any] = field(default_factory=dict)
    speed: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    files: dict[str, int] = field(default_factory=dict)
    reads: str = ""


def write(store: Store, record: Record) -> None:
    """Put a run's record in place."""
    text = json.dumps(asdict(record), indent=1, ensure_ascii=False, default=str)
    store.system.create_dir(store.full(RUNS))
    store.put(f"{RUNS}/{record.run}.json", text.encode())


def records(store: Store) -> list[Record]:
    """All runs of an output, oldest first."""
    contents = (store.read(f"{RUNS}/{name}") for name in store.names(RUNS))
    found = [Record(**json.loads(content)) for content in contents if content]
    return sorted(found, key=lambda record: record.started)


def packed(columns: pa.Schema) -> str:
    """A schema as text, exactly."""
    return base64.b64encode(columns.serialize()).decode()


def known_columns(store: Store) -> pa.Schema:
    """The source's columns as they were read for the rows that the output has or holds back; else
    none.

    Told by the last run of the pipeline that made them: one with --fresh may have ended before it
    took the old rows away.
    """
    made = _made_by(store)
    said = [record.reads for record in records(store) if record.fingerprint == made][-1:]
    if not said or not said[0]:
        return pa.schema([])
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(said[0])))


def _made_by(store: Store) -> str | None:
    """The fingerprint of the pipeline that made the output's parts, told by one of them."""
    for place in (store, store.held):
        for name in place.names(DATA):
            footer = read_footer(place, DATA, name) if name.endswith(".parquet") else None
            if footer is not None:
                return footer.fingerprint
    return None


def is_news(store: Store, source: Arrivals) -> bool:
    """Whether other numbers of files wait, or are deleted, than the last run saw."""
    last = [record.files for record in records(store)][-1:] or [{}]
    counts = source.counts()
    return any(counts[sort] != last[0].get(sort, 0) for sort in ("waiting", "deleted"))


def check_same(store: Store, ledger: Ledger, plan: Plan) -> None:
    """Refuse to mix answers of a changed pipeline into an output. Raises UsageError."""
    others = ledger.fingerprints - {plan.fingerprint}
    if not others:
        return
    old = [r for r in records(store) if r.fingerprint in others]
    changes = list(_differences(old[-1].description, plan.description)) if old else []
    raise UsageError(
        f"the pipeline changed since {store.shown} was written:\n"
        + "\n".join(f"  {change}" for change in changes or ["its record is gone"])
        + "\n  to keep both, give the sink a new path; unchanged stages are taken over with\n"
        f"    gristmill run FILE --reuse {store.shown}\n"
        "  or undo the change"
    )


def _differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """Name every place where two descriptions differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            if key == "steps":
                yield from _changed_steps(old[key], new[key])
            else:
                place = f"{where}, {key}" if where else key
                yield from _differences(old.get(key), new.get(key), place)
    elif old != new:
        yield f"{where}: {_short(old)} -> {_short(new)}"


def _changed_steps(old: list[Any], new: list[Any]) -> Iterator[str]:
    for n, (before, after) in enumerate(zip_longest(old, new), 1):
        task = (after or before)["task"]
        yield from _differences(before, after, f"stage {n} ({task})")


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("task", value))
    return "none" if value is None else str(value)
