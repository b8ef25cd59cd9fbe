"""Where work runs: a Ray of our own on this machine, or a cluster that is there already."""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from actors.errors import RunFailed

OBJECT_STORE_SHARE, OBJECT_STORE_MOST = 0.2, 4 * 2**30
"""Object store of a local Ray: units in flight are bounded, so 4 GiB is room enough."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the connected Ray has in all."""

    cpus: float
    gpus: float


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Capacity]:
    """Be connected to Ray: the one at `address`, one that this process has already, or our own.

    Raises RunFailed when there is no Ray at `address`, or none can be started.
    """
    import ray

    own = not ray.is_initialized()
    try:
        if own:
            _start(address)
        resources = ray.cluster_resources()
        yield Capacity(resources.get("CPU", 0.0), resources.get("GPU", 0.0))
    finally:
        if own:
            ray.shutdown()


def _start(address: str | None) -> None:
    import psutil
    import ray

    # Workers at normal priority: at Ray's default of 15 any other process starves them.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # What Ray's C++ side logs to the terminal is for its developers; its log files keep it.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # Ray would tell that GPU masks will change one day; it does not concern users of ours.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    memory = int(psutil.virtual_memory().total * OBJECT_STORE_SHARE)
    local = {"include_dashboard": False, "object_store_memory": min(memory, OBJECT_STORE_MOST)}
    where = f"at {address}" if address else "on this machine"
    with _Starting(where), _no_stderr(), _own_sigterm():
        ray.init(
            address=address or "local",
            logging_level=logging.ERROR,
            log_to_driver=False,
            **({} if address else local),
        )


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
