"""Where work runs: a Ray of our own on this machine, or a cluster that is there already."""

import contextlib
import io
import logging
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import psutil

from actors.errors import RunFailed
from jobs.clusters.machines import machines
from jobs.interrupts import heeded
from pipelines.machines import Machines

OBJECT_STORE_SHARE, OBJECT_STORE_MOST = 0.2, 4 * 2**30
"""Object store of a local Ray: units in flight are bounded, so 4 GiB is room enough."""

RAY_PRINTS = "ray_listen_error_messages"
"""The thread in which Ray prints to a driver's standard output, whatever it is told."""

ANSWER_SECONDS = 10.0
"""How long a machine may take to accept a connection: a busy head takes seconds."""

LEAVE_SECONDS = 5.0
"""Time in which the processes of our own Ray end by themselves; they take one or two."""


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Machines]:
    """Be connected to Ray: the one at `address`, one that this process has already, or our own.

    Raises RunFailed when there is no Ray at `address`, or none can be started.
    """
    with heeded():
        import ray

    own = not ray.is_initialized()
    session = ""
    before = _children()
    with contextlib.redirect_stdout(_NotOfRay(sys.stdout)):
        try:
            if own:
                session = _start(address)
            yield machines(shared=own and address is not None)
        finally:
            if own:
                family = [] if address else _family(session, before)
                # What Ray has not printed yet of lost machines, it prints now.
                with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
                    ray.shutdown()
                end_left(family)


def _children() -> list[psutil.Process]:
    return list(psutil.Process().children())


def _family(session: str, before: Sequence[psutil.Process]) -> list[psutil.Process]:
    """The processes of the Ray that this process started: those of its session, and their own; of
    one whose start was interrupted, all that were not there before."""
    found: list[psutil.Process] = []
    for child in _children():
        with contextlib.suppress(psutil.Error):
            ours = session in " ".join(child.cmdline()) if session else child not in before
            if ours:
                found += [child, *child.children(recursive=True)]
    return found


def end_left(family: Sequence[psutil.Process]) -> None:
    """Kill those of our own Ray's processes that do not end: a worker can hang while it leaves."""
    _, left = psutil.wait_procs(family, timeout=LEAVE_SECONDS)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


class _NotOfRay(io.TextIOBase):
    """Standard output without what Ray prints of machines that it lost: --json stands there."""

    def __init__(self, real: TextIO) -> None:
        self._real = real

    def write(self, text: str) -> int:
        """Pass on what any thread but Ray's own prints."""
        if threading.current_thread().name == RAY_PRINTS:
            return len(text)
        return self._real.write(text)

    def flush(self) -> None:
        """Flush what was passed on."""
        self._real.flush()


def object_store_bytes() -> int:
    """Memory that the object store of a Ray on this machine gets."""
    return int(min(psutil.virtual_memory().total * OBJECT_STORE_SHARE, OBJECT_STORE_MOST))


def _start(address: str | None) -> str:
    """Start or join; return the session's folder, by which its processes are known."""
    import ray

    # Workers at normal priority: at Ray's default of 15 any other process starves them.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # What Ray's C++ side logs to the terminal is for its developers; its log files keep it.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # Ray would tell that GPU masks will change one day; it does not concern users of ours.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    local = {"include_dashboard": False, "object_store_memory": object_store_bytes()}
    where = f"at {address}" if address else "on this machine"
    check_answers(address or "")
    with heeded(), _Starting(where), _no_stderr(), _own_sigterm():
        joined = ray.init(
            address=address or "local",
            logging_level=logging.ERROR,
            log_to_driver=False,
            **({} if address else local),
        )
    return str(joined.address_info.get("session_dir") or "")


def check_answers(address: str) -> None:
    """Refuse a host and port where nothing listens: Ray itself tries for minutes, and says nothing.

    Raises RunFailed.
    """
    found = re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d{1,5})", address)
    if found is None:
        return
    try:
        socket.create_connection((found[1], int(found[2])), ANSWER_SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise RunFailed(
            f"Ray cannot be reached at {address}: {error}.\n  give what  ray start --head  printed "
            "there, HOST:6379 unless it was told otherwise; or  --address auto  on its machine"
        ) from None


class _Starting:
    """Turns what ray.init raises into RunFailed; a start that times out is a bare Exception."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: Any
    ) -> None:
        known = (ConnectionError, RuntimeError, ValueError, TimeoutError)
        if kind is Exception or isinstance(error, known):
            raise RunFailed(f"Ray cannot be reached {self._where}: {error}") from None


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep our way of ending on SIGTERM: ray.init puts its own in place, which leaves with 15."""
    ours = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ours)


@contextlib.contextmanager
def _no_stderr() -> Iterator[None]:
    """Hide what Ray's C++ side says of its own log level; errors are raised all the same."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
