"""One run at a time on one output: a lock with a heartbeat, and a fence for late commits."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from actors.errors import LockLost, SinkFailed, UsageError
from pipelines.processes import born, lives
from pipelines.store import OURS, Store

NAME = f"{OURS}/lock.json"

BEAT_SECONDS = 5.0
"""How often the owner says that it lives."""

LEASE_SECONDS = 60.0
"""Silence after which an owner on another machine counts as dead: twelve missed beats, so that a
busy or briefly stopped one keeps its lock."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds the lock: a run, its process and when that was `born`, and when it was last alive
    (seconds, epoch)."""

    run: str
    host: str
    pid: int
    born: float
    beat: float


class Lock:
    """The lock of one output, held by one run.

    A dead owner's lock is taken over: at once if its process is gone from this machine, after
    LEASE_SECONDS of silence otherwise. Errors: UsageError if a living run holds it, LockLost when
    another run took it over.
    """

    def __init__(self, store: Store, run: str) -> None:
        self._store = store
        self._run = run
        self._stop = threading.Event()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock, beating, for as long as the block runs."""
        self._take()
        beating = threading.Thread(target=self._beat, daemon=True, name="lock")
        beating.start()
        try:
            yield
        finally:
            self._stop.set()
            beating.join()
            self._release()

    def _take(self) -> None:
        silent = _listen(self._store)
        with self._store.exclusive():
            owner = read(self._store)
            if owner is not None and (is_alive(owner) or owner != silent):
                raise UsageError(
                    f"another run is writing to {self._store.shown}: run {owner.run}, process "
                    f"{owner.pid} on {owner.host}.\n"
                    f"  wait for it, or stop it; if its machine is dead, wait {LEASE_SECONDS:g} s"
                )
            self._write()

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            # A disk that is full or busy now may have room at the next beat. A lock that is lost
            # stays lost: the next commit finds that out.
            with contextlib.suppress(SinkFailed), self._store.shared():
                if not owned_by(self._store, self._run):
                    return
                self._write()

    def _release(self) -> None:
        with self._store.exclusive():
            if owned_by(self._store, self._run):
                self._store.delete(NAME)

    def _write(self) -> None:
        pid = os.getpid()
        owner = Owner(self._run, socket.gethostname(), pid, born(pid), time.time())
        self._store.put(NAME, json.dumps(asdict(owner)).encode())


def read(store: Store) -> Owner | None:
    """Who holds the lock of an output, dead or alive."""
    content = store.read(NAME)
    return Owner(**json.loads(content)) if content else None


def owned_by(store: Store, run: str) -> bool:
    """Whether the run still holds the lock."""
    owner = read(store)
    return owner is not None and owner.run == run


@contextlib.contextmanager
def fenced(store: Store, run: str) -> Iterator[None]:
    """Commit inside this block: the lock cannot change hands meanwhile. Raises LockLost."""
    with store.shared():
        if not owned_by(store, run):
            raise LockLost(
                f"another run took over {store.shown}; run {run} commits nothing more.\n"
                "  what it committed stays, and the other run goes on from there"
            )
        yield


def _listen(store: Store) -> Owner | None:
    """The owner, after some silence if only its clock, or ours, says that it is dead."""
    owner = read(store)
    if owner is None or _is_gone(owner) or is_alive(owner):
        return owner
    time.sleep(3 * BEAT_SECONDS)
    return owner


def is_alive(owner: Owner) -> bool:
    """Whether an owner can still commit, as far as this machine can tell at once."""
    return not _is_gone(owner) and abs(time.time() - owner.beat) < LEASE_SECONDS


def _is_gone(owner: Owner) -> bool:
    """Whether an owner is known to be dead: its process is no more on this machine."""
    return owner.host == socket.gethostname() and not lives(owner.pid, owner.born)
