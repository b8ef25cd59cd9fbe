"""Which due fires start now: overlap, pause, and how many at once on this machine."""

import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from jobs.schedules.schedule import CANCELLED, CRON, DUE, LATE, RUNNING, SKIPPED, Fire, Schedule
from jobs.schedules.store import Schedules


def claim(schedules: Schedules, owner: str, now: float, at_once: int) -> list[Fire]:
    """Take the fires that may start, for `owner`; settle those that may not by their policy.

    A fire is taken once, by whoever is first; `at_once` counts the ticks of all schedulers.
    Returns those taken, and those that will not start.
    """
    if not schedules.has_due(now):
        return []
    with schedules.change():
        return list(_claimed(schedules, owner, now, at_once))


def _claimed(schedules: Schedules, owner: str, now: float, at_once: int) -> Iterator[Fire]:
    fires = schedules.open()
    room = at_once - sum(fire.state == RUNNING for fire in fires)
    by_name: dict[str, list[Fire]] = defaultdict(list)
    for fire in fires:
        by_name[fire.schedule].append(fire)
    known = {schedule.name: schedule for schedule in schedules.all()}
    for fire in fires:
        if fire.state != DUE or fire.not_before > now:
            continue
        siblings = by_name[fire.schedule]
        change = _decided(known.get(fire.schedule), fire, siblings, room > 0)
        if change.get("state") == RUNNING:
            room -= 1
            change |= {"owner": owner, "claimed": now, "started": now}
        elif change:
            change |= {"stopped": now}
        if change and schedules.update(fire, **change):
            siblings[siblings.index(fire)] = replace(fire, **change)
            yield replace(fire, **change)


def _decided(
    schedule: Schedule | None, fire: Fire, siblings: Sequence[Fire], room: bool
) -> dict[str, Any]:
    """What becomes of a fire that may start by its time; nothing if it waits."""
    if schedule is None:
        return {"state": CANCELLED, "reason": "the schedule was removed"}
    if schedule.paused and fire.kind in (CRON, LATE):
        return {"state": CANCELLED if fire.attempts else SKIPPED, "reason": schedule.paused}
    busy = schedule.overlap != "allow" and any(_in_the_way(fire, other) for other in siblings)
    # Only a fire whose time just came is skipped: others were asked for, and wait their turn.
    if busy and fire.kind == CRON and not fire.attempts:
        reason = _skipped(schedule, fire, siblings)
        return {"state": SKIPPED, "reason": reason} if reason else {}
    if busy or not room:
        return {}
    token = secrets.token_hex(4)
    return {"state": RUNNING, "reason": "", "attempts": fire.attempts + 1, "token": token}


def _in_the_way(fire: Fire, other: Fire) -> bool:
    """Whether another fire of the schedule runs, or waits for its next attempt before this one."""
    if other.id == fire.id:
        return False
    return other.state == RUNNING or (other.state == DUE and other.attempts > fire.attempts)


def _skipped(schedule: Schedule, fire: Fire, siblings: Sequence[Fire]) -> str:
    """Why a fire that an earlier one is in the way of is skipped; nothing if it waits."""
    if schedule.overlap == "skip":
        return "an earlier fire still ran"
    first = [o for o in siblings if o.state == DUE and not o.attempts and o.kind == CRON]
    waits = any(other.fire_time < fire.fire_time for other in first)
    return "an earlier fire was waiting already" if waits else ""
