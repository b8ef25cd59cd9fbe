"""What a person does to schedules: add, remove, pause, resume, trigger, fill in the past."""

import re
from dataclasses import replace
from datetime import datetime, tzinfo
from itertools import islice, takewhile
from pathlib import Path

from actors.errors import UsageError
from jobs.clusters import secrets
from jobs.schedules import advance, cron, ticks
from jobs.schedules.schedule import DUE, TRIGGER, Fire, Schedule
from jobs.schedules.store import Schedules

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""A schedule's name is also that of its logs' folder."""

MOST_FILLED = 10_000
"""Fires that one backfill makes: 27 years of days; more is a slip of the keyboard."""

DAY = r"\d{4}-\d\d-\d\d"
"""A day without a time: as the end of a span, the whole day is meant."""

BY_HAND = "paused by hand"


def add(schedules: Schedules, schedule: Schedule, now: float) -> Schedule:
    """Check a schedule and keep it; its first fire is the next one. Raises UsageError."""
    if not re.fullmatch(NAME, schedule.name):
        raise UsageError(
            f"'{schedule.name}' is no name for a schedule: it should be letters, digits and . _ - "
            "only, a letter or digit first, 100 at most."
        )
    expression, zone = cron.check(schedule.cron), cron.zone(schedule.zone)
    new = replace(
        schedule, cron=expression, created=now, next_fire=cron.next_fire(expression, zone, now)
    )
    _check_kept(new)
    _check_file(new, now)
    schedules.add(new)
    return new


def _check_kept(schedule: Schedule) -> None:
    """Refuse what would put a secret into the file of schedules, and among a process's words, or
    names no cluster. Raises UsageError."""
    said = dict(setting.partition("=")[::2] for setting in schedule.settings)
    secrets.check_none(
        {"--set": said, "--submit": schedule.address or ""},
        f"schedule {schedule.name}",
        "be kept with the schedule and shown among the machine's processes.\n"
        "  set it in the environment of  gristmill schedule run , which hands it on",
    )
    if schedule.address is not None:
        from jobs.clusters.server import address_of  # imports Ray

        address_of(schedule.address)


def _check_file(schedule: Schedule, now: float) -> None:
    """A file that is wrong now would be at each tick. Raises UsageError."""
    from pipelines.file import load

    load(Path(schedule.file), [ticks.timed(text, schedule, now) for text in schedule.settings])


def remove(schedules: Schedules, name: str, now: float) -> None:
    """Forget a schedule; what runs goes on, what waits is cancelled, its history stays."""
    with schedules.change():
        schedules.get(name)
        schedules.cancel(name, "the schedule was removed", now)
        schedules.remove(name)


def pause(schedules: Schedules, name: str, now: float) -> None:
    """Let fires be skipped from now on; what runs goes on."""
    with schedules.change():
        advance.advance_one(schedules, schedules.get(name), now)
        schedules.set(name, paused=BY_HAND)


def resume(schedules: Schedules, name: str, now: float) -> Schedule:
    """Let fires run again; those of the pause are skipped."""
    with schedules.change():
        advance.advance_one(schedules, schedules.get(name), now)
        schedules.set(name, paused="", failures=0)
        return schedules.get(name)


def trigger(schedules: Schedules, name: str, now: float) -> Fire:
    """Add a fire of now."""
    with schedules.change():
        schedules.get(name)
        time = int(now)
        while not schedules.insert(name, time, DUE, kind=TRIGGER, not_before=now):
            time += 1
        fire = schedules.fire(name, time)
    assert fire is not None
    return fire


def backfill(schedules: Schedules, name: str, span: tuple[str, str], now: float) -> int:
    """Let the fires between two local times run; returns how many. Raises UsageError."""
    schedule = schedules.get(name)
    zone = cron.zone(schedule.zone)
    start, stop = moment(span[0], "--from", zone), moment(span[1], "--to", zone)
    if stop < start:
        raise UsageError(f"--to {span[1]} lies before --from {span[0]}")
    if stop > now:
        raise UsageError(f"--to {span[1]} has not come yet; the schedule itself sees to that")
    if re.fullmatch(DAY, span[1]):
        stop = min(moment(f"{span[1]}T23:59:59", "--to", zone), now)
    ahead = cron.fires(schedule.cron, zone, start - 1)
    if len(list(islice(takewhile(lambda t: t <= stop, ahead), MOST_FILLED + 1))) > MOST_FILLED:
        raise UsageError(
            f"from {span[0]} to {span[1]}, '{schedule.cron}' fires more than {MOST_FILLED:,} times."
            f"\n  a run answers all that is new, so one may do:  gristmill schedule trigger {name}"
        )
    return advance.backfill(schedules, schedule, start, stop)


def moment(text: str, flag: str, zone: tzinfo) -> float:
    """Read a local time. Raises UsageError, which names the flag."""
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{flag} {text}: this is no time.\n"
            f"  write, for example:  {flag} 2026-01-31 or {flag} 2026-01-31T06:00"
        ) from None
