"""From the clock to rows: each fire whose time came gets one, by the schedule's policies."""

import hashlib
from itertools import islice, takewhile

from jobs.schedules import cron
from jobs.schedules.schedule import BACKFILL, CRON, DUE, LATE, MISSED, SKIPPED, Schedule
from jobs.schedules.store import Schedules

GRACE_SECONDS = 60.0
"""A fire that is found later than this was missed: a busy machine may lose seconds, and cron's
own step is a minute."""

CHUNK = 10_000
"""Fires that are written in one transaction: about 0.2 s, in which no other process can write."""


def advance(schedules: Schedules, now: float) -> bool:
    """Give each fire up to `now` its row, once; False if more are left than one go takes."""
    if not schedules.ripe(now):
        return True
    with schedules.change():
        whole = [_advance_one(schedules, each, now) for each in schedules.ripe(now)]
    return all(whole)


def advance_one(schedules: Schedules, schedule: Schedule, now: float) -> None:
    """Do so for one schedule, to the end; inside a transaction."""
    while schedule.next_fire is not None and schedule.next_fire <= now:
        _advance_one(schedules, schedule, now)
        schedule = schedules.get(schedule.name)


def _advance_one(schedules: Schedules, schedule: Schedule, now: float) -> bool:
    zone = cron.zone(schedule.zone)
    assert schedule.next_fire is not None
    ahead = cron.fires(schedule.cron, zone, schedule.next_fire - 1)
    times = list(takewhile(lambda time: time <= now, islice(ahead, CHUNK)))
    whole = len(times) < CHUNK
    for time in times:
        latest = whole and time == times[-1]
        _insert(schedules, schedule, time, now, latest)
    after = now if whole else times[-1]
    schedules.set(schedule.name, next_fire=cron.next_fire(schedule.cron, zone, after))
    return whole


def _insert(schedules: Schedules, schedule: Schedule, time: int, now: float, latest: bool) -> None:
    late = time + schedule.jitter < now - GRACE_SECONDS
    state, reason = DUE, ""
    if schedule.paused:
        state, reason = SKIPPED, schedule.paused
    elif late and schedule.catch_up == "none":
        state, reason = MISSED, "no scheduler was running"
    elif not latest and schedule.catch_up == "latest":
        state, reason = MISSED, "no scheduler was running; a later fire picks up all that is new"
    start = time + jitter(schedule, time)
    kind = LATE if late else CRON
    schedules.insert(schedule.name, time, state, kind=kind, reason=reason, not_before=start)


def jitter(schedule: Schedule, fire_time: int) -> float:
    """How much later a fire starts, in seconds: spread evenly, the same each time it is asked."""
    digest = hashlib.sha256(f"{schedule.name}\0{fire_time}".encode()).digest()
    return schedule.jitter * int.from_bytes(digest[:8], "big") / 2**64


def backfill(schedules: Schedules, schedule: Schedule, start: float, stop: float) -> int:
    """Let the fires of the past from `start` to `stop` run; returns how many.

    Those that ran, or are to, are left as they are; those skipped or missed run now.
    """
    ahead = cron.fires(schedule.cron, cron.zone(schedule.zone), start - 1)
    with schedules.change():
        return sum(
            _refill(schedules, schedule.name, time)
            for time in takewhile(lambda time: time <= stop, ahead)
        )


def _refill(schedules: Schedules, name: str, time: int) -> bool:
    if schedules.insert(name, time, DUE, kind=BACKFILL):
        return True
    fire = schedules.fire(name, time)
    if fire is None or fire.state not in (SKIPPED, MISSED):
        return False
    return schedules.update(fire, state=DUE, kind=BACKFILL, reason="", not_before=time)
