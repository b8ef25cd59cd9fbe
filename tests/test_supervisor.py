"""A row that kills, hangs or fills its process is rejected; its neighbours are answered."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from actors.child import Load
from actors.errors import StageFailed
from actors.stage import Device, ModelFiles
from actors.supervisor import Supervisor
from actors.worker import Limits
from tests.stages.echo import Echo


def load(stage: Echo) -> Load:
    return Load(stage, ModelFiles.none(), Device(), Limits())


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    made = Supervisor(load(Echo()), row_timeout=2.0)
    yield made
    made.close()


def answer(supervisor: Supervisor, texts: list[str]) -> list[str]:
    done = supervisor.answer(pa.table({"text": pa.array(texts, pa.string())}))
    upper = done.columns["upper"].to_pylist()
    return [done.rejects[n].reason if n in done.rejects else text for n, text in enumerate(upper)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [("kill", "killed_worker"), ("kill prepare", "killed_worker"), ("hang", "timeout")],
)
def test_a_row_that_ends_its_process_is_rejected_alone(
    supervisor: Supervisor, bad: str, reason: str
) -> None:
    texts = [f"row{n}" for n in range(20)]
    expected = [text.upper() for text in texts]
    assert answer(supervisor, [*texts[:7], bad, *texts[7:]]) == [
        *expected[:7],
        reason,
        *expected[7:],
    ]


def test_several_rows_that_kill_are_each_found(supervisor: Supervisor) -> None:
    assert answer(supervisor, ["a", "kill", "b", "kill", "c"]) == [
        "A",
        "killed_worker",
        "B",
        "killed_worker",
        "C",
    ]


def test_many_rows_that_kill_are_each_found(supervisor: Supervisor) -> None:
    texts = ["kill" if n % 4 == 0 else f"r{n}" for n in range(32)]
    expected = ["killed_worker" if n % 4 == 0 else f"R{n}" for n in range(32)]
    assert answer(supervisor, texts) == expected


def test_a_row_that_leaves_the_process_is_rejected(supervisor: Supervisor) -> None:
    assert answer(supervisor, ["a", "exit", "b"]) == ["A", "killed_worker", "B"]


def test_rows_that_are_slow_together_and_not_alone_are_answered_in_smaller_batches() -> None:
    supervisor = Supervisor(load(Echo(seconds=0.4)), row_timeout=2.2)
    texts = [f"r{n}" for n in range(8)]
    try:
        assert answer(supervisor, texts) == [text.upper() for text in texts]
        done = supervisor.answer(pa.table({"text": texts}))
        assert (done.report.restarts, done.report.batches) == (0, 2)
    finally:
        supervisor.close()


def test_a_row_that_fills_the_memory_is_rejected() -> None:
    supervisor = Supervisor(load(Echo()), row_timeout=60, memory=500 * 2**20)
    try:
        assert answer(supervisor, ["a", "hoard|hang", "b"]) == ["A", "out_of_memory", "B"]
    finally:
        supervisor.close()


def test_a_process_killed_from_outside_costs_no_row() -> None:
    supervisor = Supervisor(load(Echo(seconds=0.05)))
    supervisor.start()
    assert supervisor.pid is not None
    threading.Timer(0.5, os.kill, (supervisor.pid, signal.SIGKILL)).start()
    texts = [f"row{n}" for n in range(40)]
    try:
        assert answer(supervisor, texts) == [text.upper() for text in texts]
    finally:
        supervisor.close()


def test_a_broken_device_is_tried_in_a_fresh_process_and_then_fails_the_stage(
    supervisor: Supervisor,
) -> None:
    with pytest.raises(StageFailed, match="no row is to blame"):
        answer(supervisor, ["a", "device"])


def test_a_model_that_cannot_load_fails_with_its_own_words() -> None:
    supervisor = Supervisor(load(Echo(suffix="cannot load")))
    with pytest.raises(StageFailed, match="no weights here"):
        supervisor.start()


def test_an_empty_table_is_typed(supervisor: Supervisor) -> None:
    done = supervisor.answer(pa.table({"text": pa.array([], pa.string())}))
    assert done.columns.schema == pa.schema(list(Echo().writes.items()))


def test_the_model_process_leaves_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = (
        "from tests.test_supervisor import *\n"
        "s = Supervisor(load(Echo(seconds=60)))\ns.start()\nprint(s.pid, flush=True)\n"
        "answer(s, ['a'])\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(child)
