"""The process that holds a model. Started by the supervisor as `python -m actors.child FD`.

It loads once, then answers tables until its parent goes away. Each piece of work is announced
before it begins, so that the parent knows which rows were at hand when this process dies.
"""

import os
import pickle
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import pyarrow as pa

from actors.errors import GristmillError, RowRejected
from actors.guard import Watch
from actors.memory import peak_device_memory, peak_memory
from actors.stage import Device, ModelFiles, Stage
from actors.typed import rows_of, typed_columns
from actors.worker import Limits, Worker


@dataclass(frozen=True, slots=True)
class Load:
    """What the parent sends first."""

    stage: Stage
    files: ModelFiles
    device: Device
    limits: Limits


class _Wire(Watch):
    """Sends messages to the parent from any thread, one at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._tickets = 0

    def send(self, *message: Any) -> None:
        with self._lock:
            self._connection.send(message)

    def start(self, rows: Any) -> int:
        with self._lock:
            self._tickets += 1
            self._connection.send(("start", self._tickets, list(rows)))
            return self._tickets

    def end(self, ticket: int) -> None:
        self.send("end", ticket)


def serve(connection: Connection) -> None:
    """Load, then answer until the parent closes the connection."""
    wire = _Wire(connection)
    try:
        load: Load = pickle.loads(connection.recv_bytes())  # noqa: S301 - from our own parent
        worker = Worker(load.stage, load.files, load.device, load.limits, wire)
        wire.send("loaded", worker.load_seconds)
        while True:
            _answer(worker, wire, *connection.recv())
    except GristmillError as error:
        wire.send("failed", error)
    except EOFError:
        return


def _answer(
    worker: Worker, wire: _Wire, table: bytes, todo: list[int], alone: frozenset[int]
) -> None:
    """Answer the rows `todo` of a table, a message per finished window."""
    rows = rows_of(pa.ipc.open_stream(table).read_all())
    for indices, answers in worker.answer_windows(rows, todo, alone):
        columns, answers = typed_columns(answers, worker.stage.writes)
        rejects = {
            index: (answer.reason, answer.message)
            for index, answer in zip(indices, answers, strict=True)
            if isinstance(answer, RowRejected)
        }
        wire.send("answered", indices, to_ipc(columns), rejects)
    report = worker.take_report()
    report.memory, report.device_memory = peak_memory(), peak_device_memory()
    wire.send("done", report)


def to_ipc(table: pa.Table) -> bytes:
    """An Arrow table as an IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _die_with_parent(lifeline: int) -> None:
    """Leave at once when the parent's end of the pipe closes, whatever the model is doing."""

    def wait() -> None:
        os.read(lifeline, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    _die_with_parent(int(sys.argv[2]))
    serve(Connection(int(sys.argv[1])))
