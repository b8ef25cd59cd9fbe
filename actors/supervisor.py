"""Keeps one model process alive, and answers for the rows that kill or hang it.

The process (`child.py`) announces the rows it works on. When it dies, or works on them for longer
than one row may take, a new process works on those rows one by one; a row that ends a process on
its own is rejected: `killed_worker`, `timeout` or `out_of_memory`. Rows already answered are kept.
"""

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
import pyarrow as pa

from actors.child import Load, to_ipc
from actors.errors import DeviceBroken, GristmillError, RowRejected, StageFailed
from actors.worker import Report

POLL_SECONDS = 0.5
"""How often limits are looked at: small beside the smallest sensible row_timeout of a second."""

DEATHS_IN_ROW = 5
"""Process deaths that told nothing, no row answered and none newly suspected: then no row is to
blame."""

LOADS = 3
"""Tries to load when the process is killed meanwhile, as on a machine that is short of memory."""

LOG_TAIL = 65_536
"""Bytes of what a process wrote that are looked at for its last line."""

LOAD_SECONDS = 1800.0
"""Longest time to load a model: half an hour fetches 100 GB from a hub at 500 Mbit/s."""

MEMORY_SHARE = 0.85
"""Share of the machine's memory that one process may hold: below the 95 % at which Ray kills."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A table's answers: the written columns, typed, null where rejected; and what it took."""

    columns: pa.Table
    rejects: dict[int, RowRejected]
    report: Report


@dataclass(slots=True)
class _Job:
    """One table on its way: rows answered, suspected (`alone`), and too slow together (`slow`)."""

    table: bytes
    rows: int
    pieces: list[tuple[list[int], pa.Table]] = field(default_factory=list)
    rejects: dict[int, RowRejected] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)
    alone: set[int] = field(default_factory=set)
    slow: set[int] = field(default_factory=set)
    report: Report = field(default_factory=Report)

    @property
    def known(self) -> tuple[int, int]:
        """What a death must add to, to have told anything: rows answered, rows suspected."""
        return len(self.answered | self.rejects.keys()), len(self.alone)

    @property
    def todo(self) -> list[int]:
        return [i for i in range(self.rows) if i not in self.answered and i not in self.rejects]


@dataclass(slots=True)
class _Child:
    """A running model process, and the work that it announced: ticket -> (rows, since).

    `looked` is when its limits were last looked at.
    """

    process: subprocess.Popen[bytes]
    connection: Connection
    lifeline: int
    log: Any
    working: dict[int, tuple[list[int], float]] = field(default_factory=dict)
    looked: float = 0.0


class Supervisor:
    """One stage in a process of its own.

    `row_timeout` is in seconds and bounds the time for one row; `memory` in bytes bounds what the
    process may hold. Errors: StageFailed when the model does not load or its process keeps dying
    without a row to blame.
    """

    def __init__(self, load: Load, row_timeout: float = 120.0, memory: int | None = None) -> None:
        self._load = load
        self._row_timeout = row_timeout
        self._memory = memory or int(machine_memory() * MEMORY_SHARE)
        self._child: _Child | None = None
        self.load_seconds = 0.0

    @property
    def pid(self) -> int | None:
        """The model process, if one runs."""
        return self._child.process.pid if self._child else None

    def start(self) -> None:
        """Load the model now instead of with the first table."""
        for attempt in range(LOADS):
            if self._child is not None:
                return
            with contextlib.suppress(_Killed) if attempt < LOADS - 1 else contextlib.nullcontext():
                self._child = self._spawn()

    def close(self) -> None:
        """End the model process."""
        if self._child is not None:
            self._end(self._child)
            self._child = None

    def answer(self, table: pa.Table) -> Answered:
        """Answer a table of the stage's inputs, each row once, in order."""
        job = _Job(to_ipc(table), table.num_rows)
        deaths = 0
        while job.todo:
            before = job.known
            ending = self._work(job)
            if ending is None:
                break
            job.report.restarts += 1
            deaths = deaths + 1 if job.known == before else 0
            if deaths >= DEATHS_IN_ROW:
                raise StageFailed(
                    f"{self._name} died {deaths} times and no row is to blame: {ending}"
                )
        self._learn_from_slow(job)
        return self._assemble(job)

    def _learn_from_slow(self, job: _Job) -> None:
        """Make smaller micro-batches from now on, if rows were too slow together but not alone."""
        if job.slow and not job.slow & job.rejects.keys():
            limits = replace(self._load.limits, rows=max(1, len(job.slow) // 2))
            self._load = replace(self._load, limits=limits)
            self.close()

    # one attempt -------------------------------------------------------------------------------

    def _work(self, job: _Job) -> str | None:
        """Let the process work on what is left; return how it ended, or None when all is done."""
        self.start()
        child = self._child
        assert child is not None
        try:
            child.connection.send((job.table, job.todo, frozenset(job.alone)))
            while self._listen(child, job):
                pass
        except (EOFError, OSError):
            reason, message = "killed_worker", self._obituary(child)
        except _Overdue as overdue:
            reason, message = overdue.reason, overdue.message
            if reason == "timeout":
                job.slow = {row for rows, _ in child.working.values() for row in rows}
        except DeviceBroken as error:
            self.close()
            return str(error)
        else:
            return None
        self.close()
        self._suspect(child, job, RowRejected(reason, message))
        return message

    def _listen(self, child: _Child, job: _Job) -> bool:
        """Take one message; False when the job is done."""
        if monotonic() - child.looked > POLL_SECONDS:
            child.looked = monotonic()
            self._check_limits(child)
        if not child.connection.poll(POLL_SECONDS):
            return True
        match child.connection.recv():
            case ("start", ticket, rows):
                child.working[ticket] = (rows, monotonic())
            case ("end", ticket):
                del child.working[ticket]
            case ("answered", indices, columns, rejects):
                job.pieces.append((indices, pa.ipc.open_stream(columns).read_all()))
                job.answered.update(indices)
                job.rejects.update((i, RowRejected(*r)) for i, r in rejects.items())
            case ("done", report):
                job.report.add(report)
                return False
            case ("failed", error):
                raise error
        return True

    def _check_limits(self, child: _Child) -> None:
        """Raise _Overdue if rows take too long or the process holds too much memory."""
        now = monotonic()
        for rows, since in child.working.values():
            if now - since > self._row_timeout:
                child.working = {0: (rows, since)}
                raise _Overdue("timeout", f"took longer than {self._row_timeout:g} s")
        with contextlib.suppress(psutil.NoSuchProcess):
            held = psutil.Process(child.process.pid).memory_info().rss
            if held > self._memory:
                raise _Overdue("out_of_memory", f"the process held {held / 2**30:.1f} GiB")

    def _suspect(self, child: _Child, job: _Job, rejected: RowRejected) -> None:
        """Reject a row that was alone when the process ended; otherwise mark all at hand."""
        for rows, _ in child.working.values():
            left = set(rows) - job.answered - job.rejects.keys()
            if len(left) == 1 and left <= job.alone and len(child.working) == 1:
                job.rejects[left.pop()] = rejected
            job.alone |= left

    # the process -------------------------------------------------------------------------------

    def _spawn(self) -> _Child:
        """Start a process and wait until its model is loaded."""
        ours, theirs = socket.socketpair()
        lifeline_read, lifeline_write = os.pipe()
        log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        process = subprocess.Popen(
            [sys.executable, "-m", "actors.child", str(theirs.fileno()), str(lifeline_read)],
            pass_fds=(theirs.fileno(), lifeline_read),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | self._environment(),
        )
        theirs.close()
        os.close(lifeline_read)
        child = _Child(process, Connection(ours.detach()), lifeline_write, log)
        try:
            child.connection.send_bytes(pickle.dumps(self._load))
            if not child.connection.poll(LOAD_SECONDS):
                self._end(child)
                raise StageFailed(f"{self._name} did not load within {LOAD_SECONDS / 60:g} minutes")
            message = child.connection.recv()
        except (EOFError, OSError):
            child.process.wait()
            self._end(child)
            killed = child.process.wait() < 0
            failure = _Killed if killed else StageFailed
            raise failure(f"{self._name} could not load: {self._obituary(child)}") from None
        if message[0] == "failed":
            self._end(child)
            raise message[1]
        self.load_seconds += message[1]
        return child

    def _environment(self) -> dict[str, str]:
        threads = str(self._load.device.threads)
        return {
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            # More threads than CPUs cost up to ten times on a busy machine.
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            # Preparation has threads of its own; a second pool inside would compete with them.
            "TOKENIZERS_PARALLELISM": "false",
            "TQDM_DISABLE": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "TRANSFORMERS_VERBOSITY": "error",
        }

    def _end(self, child: _Child) -> None:
        child.process.kill()
        child.process.wait()
        child.connection.close()
        with contextlib.suppress(OSError):
            os.close(child.lifeline)

    def _obituary(self, child: _Child) -> str:
        """How the process ended, in words: its signal, or the last line that it wrote."""
        code = child.process.wait()
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (often: out of memory)" if name == "SIGKILL" else ""
            return f"its process was ended by {name}{hint}"
        child.log.seek(max(0, child.log.seek(0, os.SEEK_END) - LOG_TAIL))
        lines = child.log.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:500] if lines else f"its process left with code {code}"

    def _assemble(self, job: _Job) -> Answered:
        """Put the windows' answers back in the table's order; rejected rows are null."""
        schema = pa.schema(list(self._load.stage.writes.items()))
        tables = [table for _, table in job.pieces]
        place = {row: n for n, row in enumerate(i for rows, _ in job.pieces for i in rows)}
        order = pa.array([place.get(i) for i in range(job.rows)], pa.int64())
        columns = pa.concat_tables(tables).take(order) if tables else _nulls(schema, job.rows)
        job.report.rows, job.report.rejected = job.rows, len(job.rejects)
        return Answered(columns.combine_chunks(), job.rejects, job.report)

    @property
    def _name(self) -> str:
        return type(self._load.stage).__name__


class _Killed(StageFailed):
    """The process was killed from outside while it loaded."""


class _Overdue(GristmillError):
    """Rows took too much time or memory."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message


def machine_memory() -> int:
    """Bytes of memory that this machine, or the container that this is, may use."""
    total = int(psutil.virtual_memory().total)
    with contextlib.suppress(OSError, ValueError):
        # "max", where there is no limit, is no number.
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total


def _nulls(schema: pa.Schema, rows: int) -> pa.Table:
    return pa.table([pa.nulls(rows, field.type) for field in schema], schema=schema)
