"""Schedules and fires as people and machines read them."""

from dataclasses import asdict
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

from rich.table import Table

from jobs.schedules import cron
from jobs.schedules.schedule import Fire, Schedule
from jobs.schedules.store import Schedules
from jobs.schedules.ticks import Ticks
from jobs.terminal import Terminal


def listed(schedules: Schedules) -> list[dict[str, Any]]:
    """Each schedule, with its next fire in its zone and its last result."""
    return [_schedule(each, schedules.last_ended(each.name)) for each in schedules.all()]


def _schedule(schedule: Schedule, last: Fire | None) -> dict[str, Any]:
    zone = cron.zone(schedule.zone)
    shown = asdict(schedule)
    for key in ("created", "next_fire"):
        shown[key] = _time(shown[key], zone)
    if schedule.paused:
        shown["next_fire"] = None
    result = {"state": last.state, "fire": _time(last.fire_time, zone)} if last else None
    return shown | {"last": result and result | {"rows": last and last.rows}}


def history(schedules: Schedules, name: str | None, most: int) -> list[dict[str, Any]]:
    """The latest fires, newest first; times in their schedule's zone. Raises UsageError."""
    fires = schedules.history(name, most)
    if name and not fires:
        schedules.get(name)
    zones = {each.name: cron.zone(each.zone) for each in schedules.all()}
    folder = schedules.logs
    return [described(fire, zones.get(fire.schedule, UTC), folder) for fire in fires]


def described(fire: Fire, zone: tzinfo, folder: Path) -> dict[str, Any]:
    """One fire."""
    log = Ticks(folder, "").log(fire) if fire.token else None
    took = fire.stopped - fire.started if fire.stopped and fire.started else None
    return {
        "schedule": fire.schedule,
        "fire": _time(fire.fire_time, zone),
        "kind": fire.kind,
        "state": fire.state,
        "reason": fire.reason,
        "attempts": fire.attempts,
        "exit_code": fire.exit_code,
        "rows": fire.rows,
        "rejected": fire.rejected,
        "started": _time(fire.started, zone),
        "stopped": _time(fire.stopped, zone),
        "seconds": took,
        "not_before": _time(fire.not_before, zone) if fire.state == "due" else None,
        "log": str(log) if log else None,
    }


def _time(moment: float | None, zone: tzinfo) -> str | None:
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, zone).isoformat(timespec="seconds")


def line(fire: dict[str, Any]) -> str:
    """One event of a scheduler, for its log."""
    words = f"{fire['schedule']}  {fire['fire']}  {fire['state']}"
    if fire["state"] == "running":
        return f"{words} (attempt {fire['attempts']}, log {fire['log']})"
    if fire["state"] == "due":
        words += f" again at {fire['not_before']}"
    if fire["rows"] is not None:
        words += f", {fire['rows']:,} rows, {fire['rejected']:,} rejected"
    return words + (f": {fire['reason'].splitlines()[0]}" if fire["reason"] else "")


def print_schedules(schedules: list[dict[str, Any]]) -> None:
    """All schedules, for people."""
    table = _table("schedule", "cron", "zone", "next fire", "last result", "file")
    for each in schedules:
        last, upcoming = each["last"], each["next_fire"] or each["paused"] or "never"
        result = f"{last['state']} {last['fire']}" if last else ""
        table.add_row(each["name"], each["cron"], each["zone"], upcoming, result, each["file"])
    _print(table)


def print_history(fires: list[dict[str, Any]]) -> None:
    """Fires, for people."""
    table = _table("schedule", "fire", "kind", "state", "tries", "exit", "rows", "s", "reason")
    for fire in fires:
        seconds = f"{fire['seconds']:.1f}" if fire["seconds"] is not None else None
        first = (fire["reason"].splitlines() or [""])[0]
        cells = [fire[key] for key in ("schedule", "fire", "kind", "state", "attempts")]
        cells += [fire["exit_code"], fire["rows"], seconds, first]
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
    _print(table)


def _table(*names: str) -> Table:
    table = Table(box=None)
    for name in names:
        right = name in ("tries", "exit", "rows", "s")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    return table


def _print(table: Table) -> None:
    console = Terminal()
    if not console.is_terminal:  # a file or a pipe has no width to fold at
        console.width = 240
    console.print(table)
