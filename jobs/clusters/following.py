"""Waiting for a job, and reading along, until it ends or its cluster goes away."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from actors.errors import ClusterFailed, ClusterSilent, RunFailed
from jobs.clusters.server import Job, Server

SILENT_SECONDS = 30.0
"""Silence of the job server after which the cluster counts as gone: a head under full load was
seen to leave requests for seconds."""

POLL_SECONDS = (0.2, 2.0)
"""First and longest pause between two looks: short jobs end at once, long ones cost little."""

DRAIN_SECONDS = 5.0
"""Time for the last lines of a job that has ended to arrive."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait for the job to end, and for it to start; None: for ever."""

    end: float | None = None
    start: float | None = None


def wait(server: Server, id: str, patience: Patience = Patience()) -> Job:
    """Wait until the job has ended.

    Raises RunFailed when patience is over (the job goes on), ClusterFailed when the cluster is
    gone, UsageError when there is no such job.
    """
    begin = heard = time.monotonic()
    pause, longest = POLL_SECONDS
    while True:
        try:
            job = server.job(id)
            heard = time.monotonic()
            if job.is_over:
                return job
            _check_patience(job, time.monotonic() - begin, patience)
        except ClusterSilent as error:
            if time.monotonic() - heard > SILENT_SECONDS:
                raise ClusterFailed(_gone(id, error)) from None
        time.sleep(pause)
        pause = min(longest, pause * 1.5)


def follow(
    server: Server, id: str, write: Callable[[str], None], patience: Patience = Patience()
) -> Job:
    """Write what a job prints, as it comes, until it has ended. Raises as `wait` does."""
    server.job(id)
    tail = _Tail(server, id, write)
    tail.start()
    job = wait(server, id, patience)
    tail.join(DRAIN_SECONDS)
    if not tail.complete:
        write(server.logs(id)[tail.written :])
    return job


class _Tail(threading.Thread):
    """Reads along in the background; `complete` when it saw the end."""

    def __init__(self, server: Server, id: str, write: Callable[[str], None]) -> None:
        super().__init__(daemon=True, name="tail")
        self._server = server
        self._id = id
        self._write = write
        self.written = 0
        self.complete = False

    def run(self) -> None:
        """Read to the end; a connection that breaks is no error here: `wait` finds out why."""
        try:
            asyncio.run(self._read())
        except (RuntimeError, OSError, aiohttp.ClientError, TimeoutError):
            return
        self.complete = True

    async def _read(self) -> None:
        async for text in self._server.tail(self._id):
            self._write(text)
            self.written += len(text)


def _check_patience(job: Job, seconds: float, patience: Patience) -> None:
    if patience.start is not None and job.state == "pending" and seconds > patience.start:
        raise RunFailed(
            f"job {job.id} has not started in {patience.start:g} s: {job.message or 'no reason'}\n"
            "  it stays in line; `ray status` on the head tells what the cluster has and waits for."
            f"\n  to give it up:  gristmill stop {job.id}"
        )
    if patience.end is not None and seconds > patience.end:
        raise RunFailed(
            f"job {job.id} has not ended in {patience.end:g} s: it is {job.state}, and goes on.\n"
            f"  wait on:    gristmill wait {job.id}\n  or end it:  gristmill stop {job.id}"
        )


def _gone(id: str, error: ClusterSilent) -> str:
    return (
        f"the cluster went away while job {id} was on it: {error}\n"
        "  what is committed stays in the output; when the cluster is back, or on another one, "
        "submit the\n  file again: it goes on from there"
    )
