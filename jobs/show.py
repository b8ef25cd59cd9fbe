"""`gristmill show`: the state of an output, read from its footers."""

import contextlib
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import TypeAdapter
from rich.table import Table

from actors.errors import GristmillError, UsageError
from jobs.terminal import Terminal
from pipelines import lock
from pipelines.arrivals import sentences
from pipelines.calibration import latest
from pipelines.ledger import Ledger, read_counting, read_ledger
from pipelines.record import records
from pipelines.sinks import AnySink, Sink
from pipelines.sinks.table import RECORD
from pipelines.store import OURS, REJECTS, Store
from pipelines.verdict import verdicts


def show(output: str, base: Path) -> dict[str, Any]:
    """Rows, rejects by stage and reason, runs, and the models that made the columns.

    Raises UsageError when there is no output of ours.
    """
    store = Store.at(output, base)
    if OURS not in store.top():
        raise UsageError(
            f"{output} is no output of gristmill: it has no folder {OURS}.\n"
            f"  name the folder that stands in the pipeline file under  sink: path:{_near(store)}"
        )
    ledger = read_ledger(store)
    waiting = read_ledger(store.held)
    runs = records(store)
    owner = lock.read(store)
    return {
        "output": output,
        "rows": ledger.rows,
        "rejected": ledger.rejected,
        "parts": sum(len(unit) for unit in ledger.units.values()),
        "held": {"rows": waiting.rows, "rejected": waiting.rejected},
        "gates": next(verdicts(store), None),
        "table": _table(store),
        "rejects": _reasons(store, ledger),
        "stages": runs[-1].description["steps"] if runs else [],
        "calibration": _calibration(store),
        "runs": [
            {
                "run": r.run,
                "state": "died" if r.state == "running" and not _runs(owner, r.run) else r.state,
                "rows": r.rows,
                "rejected": r.rejected,
                "files": r.files,
                "seconds": r.stopped - r.started if r.stopped else None,
                "error": r.error,
            }
            for r in runs
        ],
    }


def _table(store: Store) -> dict[str, Any] | None:
    """The table that the output is published in; with `error` if it cannot be looked at."""
    content = store.read(RECORD)
    if content is None:
        return None
    sink = TypeAdapter[Sink](AnySink).validate_json(content)
    try:
        return sink.state(store, read_counting(store))
    except GristmillError as error:
        return {"kind": json.loads(content)["kind"], "error": str(error)}


def _calibration(store: Store) -> dict[str, Any] | None:
    """The last calibration: when, of how many rows, on what, and each stage's seconds a row."""
    found = latest(store)
    if found is None:
        return None
    return {
        "when": found.when,
        "rows": found.rows,
        "host": str(found.host),
        "fingerprint": found.fingerprint,
        "speed": found.speed,
        "memory": {label: cost.memory for label, cost in found.steps.items()},
    }


def _near(store: Store) -> str:
    """The outputs beside and below a folder that is none."""
    if not store.is_local:
        return ""
    place = Path(store.path)
    found = [p.parent for root in (place.parent, place) for p in root.glob(f"*/{OURS}")]
    return f"\n  outputs near it: {', '.join(map(str, sorted(found)))}" if found else ""


def _runs(owner: lock.Owner | None, run: str) -> bool:
    return owner is not None and owner.run == run and lock.is_alive(owner)


def _reasons(store: Store, ledger: Ledger) -> list[dict[str, Any]]:
    """How many rejects count, by stage and reason, most first."""
    counts: Counter[tuple[str, str]] = Counter()
    for unit in ledger.units.values():
        if unit[-1].rejected:
            # A run that retries rejects may replace a part while we look.
            with contextlib.suppress(FileNotFoundError):
                with store.open(f"{REJECTS}/{unit[-1].name}") as file:
                    table = pq.read_table(file, columns=["stage", "reason"])
                counts.update(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return [{"stage": s, "reason": r, "rows": n} for (s, r), n in counts.most_common()]


def print_output(report: dict[str, Any]) -> None:
    """The report for people."""
    console = Terminal()
    console.print(
        f"{report['output']}: {report['rows']:,} rows, {report['rejected']:,} rejected, "
        f"{report['parts']} parts"
    )
    if any(report["held"].values()):
        console.print(
            f"held by gates, and not in these numbers: {report['held']['rows']:,} rows, "
            f"{report['held']['rejected']:,} rejected"
        )
    if report["gates"] and report["gates"]["state"] == "held":
        problems = [f for f in report["gates"]["findings"] if not f["holds"]]
        _print_rows(console, "gates", ("gate", "expected", "seen", "action"), problems)
    if report["calibration"] is not None:
        made = report["calibration"]
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(made["when"]))
        console.print(f"calibrated {when} on {made['rows']:,} rows, on {made['host']}")
    if report["table"] is not None:
        console.print(_of_table(report["table"]))
    _print_rows(console, "rejects", ("stage", "reason", "rows"), report["rejects"])
    _print_rows(console, "stages", ("task", "model", "revision", "precision"), report["stages"])
    runs = [
        r | {"seconds": f"{r['seconds']:.1f}" if r["seconds"] is not None else ""}
        for r in report["runs"]
    ]
    for line in sentences(report["runs"][-1]["files"]) if report["runs"] else []:
        console.print(f"last run: {line}")
    _print_rows(console, "runs", ("run", "state", "rows", "rejected", "seconds"), runs)


def _of_table(table: dict[str, Any]) -> str:
    """The line on the table."""
    if "error" in table:
        return f"{table['kind']} table: {table['error']}"
    behind = f"behind: {table['to_add']} parts to add, {table['to_remove']} to take out; run again"
    said = "up to date" if table["up_to_date"] else behind
    return f"{table['kind']} table {table['table']}, version {table['version']}: {said}"


def _print_rows(
    console: Terminal, title: str, names: tuple[str, ...], rows: list[dict[str, Any]]
) -> None:
    if not rows:
        return
    table = Table(title=title, title_justify="left", box=None)
    for name in names:
        right = name in ("rows", "rejected")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in names))
    console.print(table)
