"""`gristmill plan`: what would run, what flows, and how much there is to do."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from actors.errors import GristmillError, SourceDrifted, SourceFailed, UsageError
from jobs.prepare import Prepared, check_output
from jobs.terminal import Terminal
from pipelines.arrivals import Arrivals, sentences
from pipelines.ledger import Ledger, read_all
from pipelines.plan import Step
from pipelines.record import check_same
from pipelines.sample import Stretch
from pipelines.state import (
    Sorted,
    arrivals_of,
    check_changes,
    check_deletions,
    check_root,
    sort_files,
)
from pipelines.units import SourceFile, remaining

OPENED_AT_ONCE = 16
"""Source files opened at once: hides the latency of object stores."""


@dataclass(frozen=True, slots=True)
class Look:
    """The source against what is answered: `rows` of each file that has rows to answer, and the
    files that cannot be read, with the reason."""

    ledger: Ledger
    files: Sorted
    source: Arrivals
    rows: Mapping[str, int]
    broken: Mapping[str, GristmillError]

    @property
    def new(self) -> list[Stretch]:
        """The rows that are not answered."""
        return [
            (file, start, stop)
            for file in self.files.todo
            if file.name in self.rows
            for start, stop in remaining(self.rows[file.name], self.ledger.answered(file))
        ]

    @property
    def anew(self) -> list[Stretch]:
        """The rows of changed files that are answered again, under on_change: reprocess."""
        changed = (f for f in self.files.changed if f.name in self.rows)
        return [(file, 0, self.rows[file.name]) for file in changed]


def look(prepared: Prepared) -> Look:
    """Look at the output, and open each file that has something new. Raises UsageError."""
    plan, store = prepared.plan, prepared.store
    check_output(store)
    ledger = read_all(store)
    check_same(store, ledger, plan)
    files = sort_files(prepared.files, ledger, prepared.waiting)
    check_root(prepared.files, ledger)
    check_changes(plan.pipeline, files)
    check_deletions(plan.pipeline, ledger, files)
    source = arrivals_of(plan.pipeline, files, prepared.waiting)
    again = files.changed if plan.pipeline.on_change == "reprocess" else ()
    return Look(ledger, files, source, *rows_of(prepared, (*files.todo, *again)))


def plan_report(prepared: Prepared, seen: Look | None = None) -> dict[str, Any]:
    """Everything that can be checked without loading a model. Raises UsageError."""
    seen = seen or look(prepared)
    plan, ledger, source = prepared.plan, seen.ledger, seen.source
    broken = {name: str(why) for name, why in seen.broken.items()}
    drifted = {n: broken[n] for n, why in seen.broken.items() if isinstance(why, SourceDrifted)}
    return {
        "name": plan.pipeline.name,
        "files": len(prepared.files),
        "finished files": len(seen.files.finished),
        "changed files": len(seen.files.changed),
        "waiting files": dict(source.waiting),
        "deleted files": list(source.deleted),
        "dropped files": list(source.dropped),
        "drifted files": drifted,
        "anew files": len(seen.anew),
        "new": count(seen.new),
        "anew": count(seen.anew),
        "done": ledger.rows,
        "rejected": ledger.rejected,
        "held": sum(f.rows for f in ledger.footers if f.name in ledger.held),
        "broken files": {name: why for name, why in broken.items() if name not in drifted},
        "stages": [_stage(step) for step in plan.steps],
        "columns": {f.name: str(f.type) for f in plan.columns},
        "output": prepared.store.shown,
    }


def count(stretches: Sequence[Stretch]) -> int:
    """Rows of these stretches."""
    return sum(stop - start for _, start, stop in stretches)


def rows_of(
    prepared: Prepared, files: Sequence[SourceFile]
) -> tuple[dict[str, int], dict[str, GristmillError]]:
    """Rows of each of these files, and the files that cannot be read, with the reason."""
    source, columns = prepared.plan.pipeline.source, prepared.plan.read

    def rows(file: SourceFile) -> int | GristmillError:
        try:
            return source.opens(file, columns).rows
        except (SourceFailed, UsageError) as error:
            return error

    with ThreadPoolExecutor(OPENED_AT_ONCE) as pool:
        found = dict(zip([f.name for f in files], pool.map(rows, files), strict=True))
    broken = {name: why for name, why in found.items() if isinstance(why, GristmillError)}
    return {name: n for name, n in found.items() if isinstance(n, int)}, broken


def _stage(step: Step) -> dict[str, Any]:
    return {
        "stage": step.label,
        "model": step.model.name if step.model else None,
        "revision": step.model.revision if step.model else None,
        "reads": dict(step.inputs),
        "writes": {name: str(type) for name, type in step.writes.items()},
        "precision": step.device.precision,
        "pool": {"min": step.pool.min, "max": step.pool.max},
        "resources": step.resources.model_dump(),
    }


def _counts(report: dict[str, Any]) -> dict[str, int]:
    """The files that are no plain work, by sort."""
    named = {sort: len(report[f"{sort} files"]) for sort in ("waiting", "deleted", "dropped")}
    changed = report["changed files"] - report["anew files"]
    return {**named, "changed": changed, "drifted": len(report["drifted files"])}


def print_plan(report: dict[str, Any]) -> None:
    """The report for people."""
    console = Terminal(soft_wrap=True)
    console.print(
        f"{report['name']}: {report['files']} source files, {report['new']:,} rows new, "
        f"{report['done']:,} done, {report['rejected']:,} rejected"
        + (f", {report['held']:,} of them held by gates" if report["held"] else "")
    )
    for stage in report["stages"]:
        model = f"  {stage['model']} at {stage['revision']}" if stage["model"] else ""
        console.print(f"\n{stage['stage']}{model}")
        for name, column in stage["reads"].items():
            console.print(f"  reads   {name}" + (f" from {column}" if name != column else ""))
        for column, kind in stage["writes"].items():
            console.print(f"  writes  {column}: {kind}")
        wants = {k: v for k, v in stage["resources"].items() if v}
        pool = stage["pool"]
        console.print(
            f"  pool    {pool['min']} to {pool['max'] or 'as many as fit'} actors {wants or ''}"
        )
    console.print(f"\nwrites {', '.join(report['columns'])}\nto     {report['output']}")
    if report["anew files"]:
        files = f"{report['anew files']:,} changed file{'s' if report['anew files'] > 1 else ''}"
        rows = f"{report['anew']:,} row{'' if report['anew'] == 1 else 's'}"
        console.print(f"{files} will be answered anew ({rows})")
    for line in sentences(_counts(report)):
        console.print(line)
    for name, why in (report["drifted files"] | report["broken files"]).items():
        console.print(f"cannot be read: {name}: {why}")
