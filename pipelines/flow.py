"""A unit on its way through the graph: read, answered stage by stage, committed.

Plain functions and objects on Arrow tables; `graph.py` says where they run.
"""

import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actors.child import Load, to_ipc
from actors.errors import RunFailed, SourceFailed
from actors.models.reference import fetch
from actors.stage import ModelFiles
from actors.supervisor import Supervisor
from actors.worker import Report
from pipelines.parts import KEYS, REJECT, REJECT_TYPE, Footer, answers_of, commit
from pipelines.plan import Plan, Step
from pipelines.reuse import REUSED, Reuse, take_over
from pipelines.store import Store
from pipelines.units import Unit


@dataclass(frozen=True, slots=True)
class Ticket:
    """An order to answer a unit. `part` and `generation` name the part that commits it;
    `attempts` counts earlier tries of its rows when rejects are retried."""

    unit: Unit
    part: str
    generation: int = 0
    attempts: dict[tuple[str, int], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Took:
    """What one step of the graph took for one unit: `start` and `stop` in seconds, epoch."""

    start: float
    stop: float
    report: Report | None = None


@dataclass(frozen=True, slots=True)
class UnitRows:
    """A unit's rows on their way. `left_out` are files that could not be read, and why."""

    ticket: Ticket
    table: pa.Table
    left_out: dict[str, str] = field(default_factory=dict)
    took: dict[str, Took] = field(default_factory=dict)

    def dumps(self) -> dict[str, bytes]:
        """As one row of Ray's: a row is never cut, so a unit is never cut or merged."""
        return {"head": pickle.dumps(replace(self, table=None)), "rows": to_ipc(self.table)}

    @classmethod
    def loads(cls, head: bytes, rows: pa.Buffer) -> "UnitRows":
        """Read back what dumps wrote; the table lies in the buffer, not copied."""
        unit: UnitRows = pickle.loads(head)  # noqa: S301 - written by dumps in this run
        return replace(unit, table=pa.ipc.open_stream(rows).read_all())

    def after(self, name: str, table: pa.Table, start: float, report: Report | None) -> "UnitRows":
        """The same unit with new columns, and what they took."""
        took = {**self.took, name: Took(start, time.time(), report)}
        return replace(self, table=table, took=took)


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit reports: rows in data and rejects, files left out, what each step took."""

    part: str
    rows: int
    rejected: int
    left_out: dict[str, str]
    took: dict[str, Took]


@dataclass(frozen=True)
class Job:
    """What every box of the graph knows of a run."""

    plan: Plan
    store: Store
    run: str
    reuse: Reuse | None = None


def read(job: Job, ticket: Ticket) -> UnitRows:
    """Read a unit's rows from the source. Files that are not as planned are left out."""
    plan = job.plan
    start = time.time()
    try:
        done = plan.pipeline.source.gives(ticket.unit, plan.read)
    except SourceFailed as error:
        empty = pa.schema([*KEYS, *plan.read, (REJECT, REJECT_TYPE)]).empty_table()
        left_out = {span.file.name: str(error) for span in ticket.unit.spans}
        if job.reuse is not None:
            empty = empty.append_column(REUSED, pa.array([], pa.bool_()))
        return UnitRows(ticket, empty, left_out).after("read", empty, start, None)
    table = marked(done.table)
    left_out = {file.name: why for file, why in done.skipped}
    _check_complete(ticket, table, left_out)
    if job.reuse is not None:
        table = take_over(table, job.reuse.rows(ticket.unit), job.reuse.columns)
    return UnitRows(ticket, table, left_out).after("read", table, start, None)


def _check_complete(ticket: Ticket, table: pa.Table, left_out: Mapping[str, str]) -> None:
    """A source gives every row of every file that it does not leave out. Raises RunFailed."""
    wanted = sum(s.rows for s in ticket.unit.spans if s.file.name not in left_out)
    if table.num_rows != wanted:
        raise RunFailed(
            f"the source gave {table.num_rows} rows of unit {ticket.part}, which has {wanted}: "
            "a bug in the source.\n  nothing of the unit was written"
        )


def marked(table: pa.Table) -> pa.Table:
    """A source's table with its rejects as rows carry them from stage to stage."""
    reject = _as_reject(table["_reject"], "source")
    return table.drop_columns(["_reject"]).append_column(REJECT, reject)


def _as_reject(found: pa.ChunkedArray, stage: str) -> pa.Array:
    """A source's struct<reason, message> as REJECT_TYPE."""
    if found.null_count == len(found):
        return pa.nulls(len(found), REJECT_TYPE)
    now = datetime.now(UTC)
    return pa.array(
        [r and {"stage": stage, "when": now, **r} for r in found.to_pylist()], REJECT_TYPE
    )


class StepWorker:
    """Answers units for one step of a plan, its model in a process of its own."""

    def __init__(self, job: Job, number: int) -> None:
        self.step = job.plan.steps[number]
        self._is_reused = job.reuse is not None and number < job.reuse.steps
        self._supervisor = _supervise(job.plan, self.step)

    def start(self) -> None:
        """Load the model now, unless old answers may make it needless. Raises StageFailed."""
        if not self._is_reused:
            self._supervisor.start()

    def close(self) -> None:
        """End the model's process."""
        self._supervisor.close()

    def answer(self, rows: UnitRows) -> UnitRows:
        """Add the step's columns for the rows that are still good; drop what nobody needs."""
        start = time.time()
        good = pc.is_null(rows.table[REJECT])
        if self._is_reused:
            good = pc.and_(good, pc.invert(rows.table[REUSED]))
        answered = self._supervisor.answer(self._inputs(rows.table.filter(good)))
        table = _spread(rows.table, good, answered.columns, self.step.outputs)
        table = _add_rejects(table, good, answered.rejects, self.step.task)
        report = answered.report
        report.load, self._supervisor.load_seconds = self._supervisor.load_seconds, 0.0
        return rows.after(self.step.label, _carry(table, self.step.carry), start, report)

    def _inputs(self, table: pa.Table) -> pa.Table:
        """The stage's inputs under its own names and types."""
        reads, exact = self.step.reads, not self.step.stage.rounds
        columns = {name: table[column] for name, column in self.step.inputs.items()}
        return pa.table(
            {name: column.cast(reads[name], safe=exact) for name, column in columns.items()}
        )


def _supervise(plan: Plan, step: Step) -> Supervisor:
    others = {name: fetch(ref, plan.cache) for name, ref in step.others.items()}
    files = ModelFiles(fetch(step.model, plan.cache) if step.model else Path(), others)
    load = Load(step.stage, files, step.device, step.limits)
    return Supervisor(load, step.row_timeout, step.resources.memory)


def _spread(
    table: pa.Table, good: pa.ChunkedArray, answers: pa.Table, outputs: Mapping[str, str]
) -> pa.Table:
    """Add the answers of the good rows; other rows keep what they have, or are null."""
    place = pc.add(pc.cumulative_sum(good.cast(pa.int64())), table.num_rows - 1)
    indices = pc.if_else(good, place, pa.array(range(table.num_rows), pa.int64()))
    for name, column in outputs.items():
        new = answers[name]
        has = column in table.column_names
        old = table[column] if has else pa.chunked_array([pa.nulls(table.num_rows, new.type)])
        both = pa.chunked_array([*old.chunks, *new.chunks], new.type).take(indices)
        table = table.drop_columns([column] if has else []).append_column(column, both)
    return table


def _add_rejects(
    table: pa.Table, good: pa.ChunkedArray, rejects: dict[int, Any], stage: str
) -> pa.Table:
    """Mark rows that this stage rejected; `rejects` counts good rows only."""
    if not rejects:
        return table
    now = datetime.now(UTC)
    marks = table[REJECT].to_pylist()
    rows = [n for n, is_good in enumerate(good.to_pylist()) if is_good]
    for index, why in rejects.items():
        marks[rows[index]] = {
            "stage": stage,
            "reason": why.reason,
            "message": why.message,
            "when": now,
        }
    place = table.schema.get_field_index(REJECT)
    return table.set_column(place, REJECT, pa.array(marks, REJECT_TYPE))


def _carry(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Drop every column at its last use."""
    wanted = {"_source", "_row", *columns, REJECT, REUSED}
    return table.select([name for name in table.column_names if name in wanted])


def commit_unit(job: Job, rows: UnitRows) -> Committed:
    """Put a unit in place. Raises SinkFailed, LockLost."""
    start = time.time()
    ticket = rows.ticket
    rejected = pc.sum(pc.is_valid(rows.table[REJECT])).as_py() or 0
    answers = answers_of(ticket.unit, list(rows.left_out)) if ticket.generation == 0 else ()
    footer = Footer(
        unit=ticket.part,
        generation=ticket.generation,
        run=job.run,
        rows=rows.table.num_rows - rejected,
        rejected=rejected,
        answers=answers,
        fingerprint=job.plan.fingerprint,
    )
    if is_done := bool(answers) or (ticket.generation > 0 and not rows.left_out):
        table = rows.table.select([*job.plan.columns.names, REJECT])
        made = [name for name in job.plan.columns.names if name in job.plan.made]
        commit(job.store, table, footer, ticket.attempts, made)
    took = {**rows.took, "commit": Took(start, time.time())}
    counts = (footer.rows, rejected) if is_done else (0, 0)
    return Committed(ticket.part, *counts, rows.left_out, took)
