"""Measures a plan's steps: rows go through the real stages, one after the other, and nothing is
committed.

One step at a time: its model has the machine to itself, as an actor of a pool that fits has, and
no machine must hold all models at once. The models run in processes of their own, as in a run.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from actors.worker import Report
from pipelines import flow
from pipelines.calibration import Cost
from pipelines.flow import Job, Ticket, UnitRows
from pipelines.host import Host, this_host
from pipelines.parts import REJECT
from pipelines.plan import Step
from pipelines.units import Unit


@dataclass(frozen=True, slots=True)
class Measured:
    """What one step gave: the lots with its columns, what it cost, on which machine, and how many
    processes wanted each of its CPUs before."""

    lots: list[UnitRows]
    cost: Cost
    host: Host
    load: float


Where = Callable[[Job, int, Sequence[UnitRows | Ticket]], Measured]
"""Runs measure_step: here, or on a machine that has what the step needs."""


def measure(
    job: Job, units: Sequence[Unit], where: Where, say: Callable[[str], None]
) -> list[Measured]:
    """Measure every step of the plan, in order. Raises StageFailed, RunFailed."""
    lots: Sequence[UnitRows | Ticket] = [Ticket(unit, unit.id) for unit in units]
    done: list[Measured] = []
    for number, step in enumerate(job.plan.steps):
        say(f"{step.label}: loading, then {sum(unit.rows for unit in units)} rows")
        done.append(where(job, number, lots))
        lots = done[-1].lots
    return done


def measure_step(job: Job, number: int, lots: Sequence[UnitRows | Ticket]) -> Measured:
    """Answer lots with one step, in this process and its model's; lots are read if they are not.

    The first lot is answered twice, and the first time does not count: caches, compilers and
    memory pools are filled then.
    """
    worker = flow.StepWorker(job, number)
    host, load = this_host(worker.step.device.name != "cpu"), os.getloadavg()[0]
    answered: list[UnitRows] = []
    report, seconds = Report(), []
    try:
        worker.start()
        for count, lot in enumerate(lots):
            rows = flow.read(job, lot) if isinstance(lot, Ticket) else lot
            if not count:
                warm = worker.answer(rows).took[worker.step.label].report or Report()
                report.load, report.memory = warm.load, warm.memory
            begun = time.perf_counter()
            done = worker.answer(rows)
            seconds.append(time.perf_counter() - begun)
            report.add(done.took[worker.step.label].report or Report())
            answered.append(_without_files(done))
    finally:
        worker.close()
    return Measured(answered, _cost(worker.step, report, seconds, answered), host, load / host.cpus)


def _without_files(rows: UnitRows) -> UnitRows:
    """The same rows, of which only left out files and counts are asked later."""
    return replace(rows, took={})


def _cost(step: Step, report: Report, seconds: Sequence[float], lots: Sequence[UnitRows]) -> Cost:
    counts = [lot.ticket.unit.rows for lot in lots]
    made = [_bytes_made(lot.table, list(step.outputs.values())) for lot in lots]
    return Cost(
        seconds=sum(seconds) / max(sum(counts), 1),
        lots=tuple(s / n for s, n in zip(seconds, counts, strict=True) if n),
        cpu=report.cpu / max(sum(counts), 1),
        load=report.load,
        memory=report.memory,
        device_memory=report.device_memory,
        bytes=sum(made) / max(sum(counts), 1),
        rows=report.rows,
        rejected=report.rejected,
        device=step.device.name,
        threads=step.device.threads,
    )


def _bytes_made(table: pa.Table, columns: Sequence[str]) -> int:
    """Bytes of a step's columns, of those that are still there."""
    return sum(int(table[name].nbytes) for name in columns if name in table.column_names)


def rejected(lots: Sequence[UnitRows]) -> Counter[tuple[str, str]]:
    """Rows that were rejected: (stage, reason) -> how many."""
    counts: Counter[tuple[str, str]] = Counter()
    for lot in lots:
        for why in pc.drop_null(lot.table[REJECT]).to_pylist():
            counts[why["stage"], why["reason"]] += 1
    return counts
