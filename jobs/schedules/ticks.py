"""Ticks: one attempt of a fire each, as a process that outlives the scheduler."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from jobs.schedules import cron, keeper
from jobs.schedules.schedule import Fire, Schedule
from pipelines import processes
from pipelines.processes import born

TAIL_BYTES = 100_000
"""Of a log and of a result, what is looked at: a run's result is a page, its error some lines."""


MOST_ERROR = 2000
"""Characters of an error that are kept with the fire; the log has the rest."""

TAKEN_BACK = "0"
"""Stands for a keeper's number where an attempt must never begin."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a tick ended: `code` as shells write it, None if its processes are gone without a word;
    `limited` if its time was up; `error` is what it said last."""

    code: int | None
    limited: bool = False
    error: str = ""
    rows: int | None = None
    rejected: int | None = None


class Ticks:
    """The ticks of a file of schedules; `folder` has what they print."""

    def __init__(self, folder: Path, owner: str) -> None:
        self._folder = folder
        self._owner = owner
        self._keepers: list[subprocess.Popen[bytes]] = []

    def start(self, schedule: Schedule, fire: Fire, command: list[str]) -> None:
        """Start a fire's attempt. Raises OSError if the system has no room for it."""
        base = self.base(fire)
        base.parent.mkdir(parents=True, exist_ok=True)
        told = {
            "command": command,
            "folder": schedule.folder,
            "base": str(base),
            "limit": schedule.time_limit,
        }
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, json.dumps(told)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | {keeper.MARK: str(base)},
        )
        self._keepers.append(process)

    def reap(self) -> None:
        """Let go of keepers that ended: the system keeps their numbers until we do."""
        self._keepers = [keeper for keeper in self._keepers if keeper.poll() is None]

    def ended(self, fire: Fire, stale: bool) -> Ended | None:
        """How a fire's attempt ended; None while it runs.

        An attempt that has not begun is taken back for good if its scheduler is dead, or `stale`.
        """
        base = self.base(fire)
        found = _found(base)
        if found or _kept(base):
            return found
        if _content(base, ".started") is None:
            dead = stale or not lives(fire.owner)
            return Ended(None) if dead and _take_back(base) else None
        # The keeper may have ended between the two looks.
        found = _found(base)
        if found is None:
            keeper.end_all(str(base))
        return found or Ended(None)

    def stop(self, fire: Fire) -> None:
        """Ask a fire's attempt to end: SIGTERM, after which a run commits what it has."""
        base = self.base(fire)
        started = _content(base, ".started")
        if started and _keeps(int(started), base):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(started), signal.SIGTERM)

    def forget(self, fire: Fire) -> None:
        """Remove what an ended attempt needs no more; its log stays."""
        base = self.base(fire)
        # What was taken back must stay so: its keeper may still come.
        if _content(base, ".started") != TAKEN_BACK:
            for end in (".started", ".ended", ".out"):
                base.with_name(base.name + end).unlink(missing_ok=True)

    def log(self, fire: Fire) -> Path:
        """What a fire's latest attempt printed."""
        base = self.base(fire)
        return base.with_name(base.name + ".log")

    def base(self, fire: Fire) -> Path:
        """The path of an attempt's files, without their ends."""
        stamp = datetime.fromtimestamp(fire.fire_time, UTC).strftime("%Y%m%dT%H%M%SZ")
        return self._folder / fire.schedule / f"{stamp}-{fire.attempts}-{fire.token}"


def command(schedule: Schedule, fire: Fire) -> list[str]:
    """What a tick runs: the pipeline here, or its submission to a cluster."""
    verb, where = ["run"], []
    if schedule.address:
        verb, where = ["submit"], ["--wait", "--address", schedule.address]
    settings = [
        f"--set={timed(setting, schedule, fire.fire_time)}" for setting in schedule.settings
    ]
    return [sys.executable, "-m", "jobs.cli", *verb, schedule.file, *where, *settings, "--json"]


def timed(setting: str, schedule: Schedule, time: float) -> str:
    """A setting with {fire:%Y-%m-%d} replaced by a fire's time in the schedule's zone."""
    moment = datetime.fromtimestamp(time, cron.zone(schedule.zone))
    return re.sub(r"\{fire:([^{}]+)\}", lambda found: moment.strftime(found[1]), setting)


def me() -> str:
    """This process, told from all others that have had or will get its number."""
    return f"{os.getpid()} {born(os.getpid())!r}"


def lives(owner: str | None) -> bool:
    """Whether the process that `me` named is alive."""
    if not owner:
        return False
    pid, since = owner.split()
    return processes.lives(int(pid), float(since))


def _found(base: Path) -> Ended | None:
    """What a keeper wrote of its end."""
    ended = _content(base, ".ended")
    return _result(base, json.loads(ended)) if ended else None


def _kept(base: Path) -> bool:
    """Whether a keeper is alive; one that has not written its number yet is known by its mark."""
    started = _content(base, ".started")
    if started == "":
        return bool(keeper.members(str(base)))
    return started is not None and _keeps(int(started), base)


def _keeps(pid: int, base: Path) -> bool:
    """Whether a process is the keeper of a tick."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        try:
            return process.environ().get(keeper.MARK) == str(base)
        except psutil.AccessDenied:  # another user's, who may have started the tick
            owner = base.with_name(base.name + ".started").stat().st_uid
            return bool(process.uids().real == owner)
    except (psutil.NoSuchProcess, OSError):
        return False


def _content(base: Path, end: str) -> str | None:
    """A file of a tick; None if it is not there."""
    try:
        return base.with_name(base.name + end).read_text()
    except FileNotFoundError:
        return None


def _take_back(base: Path) -> bool:
    """See to it that an attempt never begins; False if it just did."""
    base.parent.mkdir(parents=True, exist_ok=True)
    try:
        with base.with_name(base.name + ".started").open("x") as file:
            file.write(TAKEN_BACK)
    except FileExistsError:
        return False
    return True


def _result(base: Path, ended: dict[str, Any]) -> Ended:
    wrote = _wrote(_outcome(base))
    return Ended(ended["code"], ended["limited"], _error(base), *wrote)


def _wrote(outcome: dict[str, Any]) -> tuple[int | None, int | None]:
    """Rows and rejects of a run's result; None where it does not say."""
    status = outcome.get("status", ...)
    if status is None:  # there was nothing to do
        return 0, 0
    if not isinstance(status, dict):
        return None, None
    return status.get("rows"), status.get("rejected")


def _outcome(base: Path) -> dict[str, Any]:
    """What a run printed with --json; {} if it printed nothing of the kind."""
    try:
        outcome = json.loads(_tail(base, ".out"))
    except ValueError:
        return {}
    return outcome if isinstance(outcome, dict) else {}


def _error(base: Path) -> str:
    """The last error that a tick printed, with the lines that belong to it."""
    log = "\n" + _tail(base, ".log")
    begins = max(log.rfind("\nerror: "), log.rfind("\nnot answered: "))
    return log[begins:].strip().removeprefix("error: ")[:MOST_ERROR] if begins >= 0 else ""


def _tail(base: Path, end: str) -> str:
    try:
        with base.with_name(base.name + end).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
