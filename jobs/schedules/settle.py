"""What becomes of a fire whose attempt ended, by its exit code and its schedule's policies."""

from dataclasses import replace
from typing import Any

from jobs.schedules.durations import words
from jobs.schedules.schedule import CANCELLED, CRON, DONE, DUE, FAILED, SKIPPED, Fire, Schedule
from jobs.schedules.store import Schedules
from jobs.schedules.ticks import Ended

USAGE, REJECTS, INTERRUPTED = 2, 3, 130
"""Exit codes of a run; 0 is done, 1 failed."""

BUSY = "another run is writing to"
"""How the refusal begins when somebody else's run holds the output: an overlap, no failure."""

BUSY_SECONDS = 60.0
"""When a buffered fire asks again whether the output is free."""

MOST_BACKOFF = 3600.0
"""Back-off doubles with each attempt, up to an hour: later tries would miss a mended cause."""


def settle(schedules: Schedules, fire: Fire, ended: Ended, now: float) -> Fire | None:
    """Write how a fire's attempt ended; None if another scheduler did."""
    with schedules.change():
        schedule = schedules.find(fire.schedule)
        values = verdict(schedule, fire, ended, now) | {
            "exit_code": ended.code,
            "rows": ended.rows,
            "rejected": ended.rejected,
        }
        if not schedules.update(fire, **values):
            return None
        if schedule is not None:
            _count(schedules, schedule, values["state"])
        settled: Fire = replace(fire, **values)
        return settled


def has_failed(fire: Fire) -> bool:
    """Whether a fire's last attempt failed, also where a retry waits; a busy output is no failure,
    nor is a fire that has not run."""
    waits = fire.state == DUE and fire.attempts > 0 and BUSY not in fire.reason
    return fire.state == FAILED or waits


def verdict(schedule: Schedule | None, fire: Fire, ended: Ended, now: float) -> dict[str, Any]:
    """The state that follows, and its reason."""
    if ended.code == 0:
        return {"state": DONE, "reason": "", "stopped": now}
    if ended.code == REJECTS:
        return {"state": DONE, "reason": "more rejects than allowed", "stopped": now}
    if ended.code == INTERRUPTED and not ended.limited:
        return {"state": CANCELLED, "reason": "interrupted", "stopped": now}
    if ended.code == USAGE and BUSY in ended.error:
        return _overlapped(schedule, fire, ended, now)
    reason = _reason(schedule, ended)
    # A wrong file does not heal; and a schedule that is gone asks for nothing any more.
    if ended.code == USAGE or schedule is None or fire.attempts > schedule.retries:
        return {"state": FAILED, "reason": reason, "stopped": now}
    start = now + min(schedule.backoff * 2 ** (fire.attempts - 1), MOST_BACKOFF)
    return {"state": DUE, "reason": reason, "not_before": start}


def _overlapped(schedule: Schedule | None, fire: Fire, ended: Ended, now: float) -> dict[str, Any]:
    """Somebody else's run holds the output: wait for it where the policy is to, or skip."""
    waits = fire.kind != CRON or (schedule is not None and schedule.overlap == "buffer")
    if waits:
        again = {"attempts": fire.attempts - 1, "not_before": now + BUSY_SECONDS}
        return {"state": DUE, "reason": ended.error} | again
    return {"state": SKIPPED, "reason": ended.error, "stopped": now}


def _reason(schedule: Schedule | None, ended: Ended) -> str:
    if ended.limited and schedule is not None and schedule.time_limit is not None:
        return f"stopped at its time limit of {words(schedule.time_limit)}"
    if ended.code is None:
        return "its process died without a word"
    if ended.error:
        return ended.error
    killed = ended.code - 128
    return f"killed by signal {killed}" if killed > 0 else f"exit code {ended.code}"


def _count(schedules: Schedules, schedule: Schedule, state: str) -> None:
    """Count failures in a row; pause a schedule that has too many."""
    if state == DONE:
        schedules.set(schedule.name, failures=0)
    if state != FAILED:
        return
    failures = schedule.failures + 1
    schedules.set(schedule.name, failures=failures)
    if schedule.pause_after and failures >= schedule.pause_after and not schedule.paused:
        schedules.set(schedule.name, paused=f"paused after {failures} failures in a row")
