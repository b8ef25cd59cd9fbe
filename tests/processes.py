"""The processes of a run: what each is, and whether they are gone."""

import contextlib
import time
from collections.abc import Iterable

import psutil

LOST = ("ray::DashboardAgent", "ray::RuntimeEnvAgent", "default_worker.py")
"""Ray's own processes that, when their Ray dies, try for a fixed time (30 to 60 s) to reach it:
two helpers, and workers that are still starting. They touch nothing of ours."""


def kind_of(process: psutil.Process, driver: psutil.Process) -> str | None:
    """What a process of a run is, or None if it is nothing that we kill."""
    command = _command(process)
    if process == driver:
        return "driver"
    if "actors.child" in command:
        return "model"
    if command.startswith(LOST[:2]):
        return "agent"
    if command.startswith("ray::"):
        return "dispatcher" if "Dispatcher" in command else "worker"
    program = command.split(" ")[0].rsplit("/", 1)[-1]
    return {"raylet": "raylet", "gcs_server": "gcs"}.get(program)


def _command(process: psutil.Process) -> str:
    """How a process was started or calls itself; empty if it is gone."""
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""


def wait_for_all(processes: Iterable[psutil.Process], seconds: float) -> list[str]:
    """Wait until all but LOST are gone; return the commands of those that are not."""
    deadline = time.monotonic() + seconds
    left = list(processes)
    while left := [process for process in left if _is_at_work(process)]:
        if time.monotonic() > deadline:
            return [_command(process) for process in left]
        time.sleep(0.1)
    return []


def end_all(processes: Iterable[psutil.Process]) -> None:
    """Kill what is left of a run, by its own ids."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _is_at_work(process: psutil.Process) -> bool:
    try:
        alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    return alive and not any(sign in _command(process) for sign in LOST)
