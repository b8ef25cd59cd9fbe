"""Where work runs: a cluster that does not answer, a start that is interrupted."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from actors.errors import RunFailed
from jobs.clusters.session import check_answers
from jobs.interrupts import heeded


def test_a_cluster_where_nothing_listens_is_said_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        port = taken.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
            with pytest.raises(RunFailed, match=r"cannot be reached at .*refused") as error:
                check_answers(address)
            assert "ray start --head" in str(error.value)
    check_answers("auto")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_a_library_swallows_is_not_lost(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), heeded(), contextlib.suppress(BaseException):
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert signal.getsignal(number) is before


START = """
import threading, time, _thread
from jobs.clusters.session import connected
import psutil, signal, os

def interrupt():
    while not any("raylet" in p.name() for p in psutil.Process().children(recursive=True)):
        time.sleep(0.05)
    time.sleep({seconds})
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
with connected(None):
    time.sleep(60)
"""


@pytest.mark.ray
def test_a_start_that_is_interrupted_leaves_no_process() -> None:
    """As soon as the raylet is there, whose agents outlive it."""
    process = subprocess.Popen(
        [sys.executable, "-c", START.format(seconds=0.8)],
        cwd=Path(__file__).parent.parent,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    _, said = process.communicate(timeout=90)
    assert "KeyboardInterrupt" in said
    time.sleep(1)
    assert [process.name() for process in _of_session(process.pid)] == []


def _of_session(number: int) -> list[psutil.Process]:
    """The living processes of a session."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == number and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
