"""A pipeline as a timer of systemd: a service, and when to start it."""

import re
import sys
from collections.abc import Collection
from pathlib import Path

from actors.errors import UsageError
from jobs.manifests.wishes import Wishes
from jobs.schedules.cron import SOME_DAY

DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


def files(name: str, path: Path, wishes: Wishes) -> dict[str, str]:
    """The service and its timer, file name -> text. Raises UsageError."""
    if not str(path.resolve()).isprintable():
        raise UsageError(f"--to systemd: {str(path.resolve())!r} cannot stand in a unit; rename it")
    return {
        f"gristmill-{name}.service": _service(name, path, wishes),
        f"gristmill-{name}.timer": _timer(name, wishes),
    }


def _service(name: str, path: Path, wishes: Wishes) -> str:
    words = [sys.executable, "-m", "jobs.cli", "run", str(path.resolve())]
    command = " ".join(_quoted(word) for word in words)
    limit = f"RuntimeMaxSec={wishes.time_limit:g}\n" if wishes.time_limit else ""
    return (
        "[Unit]\n"
        f"Description=Gristmill pipeline {name}\n"
        "Wants=network-online.target\n"
        "After=network-online.target\n\n"
        "[Service]\n"
        "Type=exec\n"
        f"WorkingDirectory={str(path.resolve().parent).replace('%', '%%')}\n"
        f"ExecStart={command}\n"
        # A run that is told to stop commits what is under way.
        "TimeoutStopSec=120\n"
        f"{limit}"
    )


def _quoted(word: str) -> str:
    """A word as systemd reads it, which is not as a shell does: % and $ stand for themselves only
    when doubled."""
    if re.fullmatch(r"[\w@+=:,./-]+", word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("%", "%%").replace("$", "$$") + '"'


def _timer(name: str, wishes: Wishes) -> str:
    times = "".join(f"OnCalendar={when}\n" for when in calendar(wishes.cron or "", wishes.tz))
    jitter = (
        f"RandomizedDelaySec={wishes.jitter:g}\nFixedRandomDelay=true\n" if wishes.jitter else ""
    )
    caught = "false" if wishes.catch_up == "none" else "true"
    return (
        "[Unit]\n"
        f"Description=When to run the Gristmill pipeline {name}\n\n"
        "[Timer]\n"
        f"{times}{jitter}"
        f"Persistent={caught}\n"
        "AccuracySec=1s\n\n"
        "[Install]\n"
        "WantedBy=timers.target\n"
    )


def calendar(cron: str, tz: str) -> list[str]:
    """A cron expression as systemd's calendar events, which are joined by "or".

    Cron joins day of month and day of week by "or" where both are given; one event joins them by
    "and". The expression is one that was checked. Raises UsageError for what systemd cannot say.
    """
    from cronsim import CronSim

    parsed = CronSim(cron, SOME_DAY)
    times = ":".join(
        _numbers(found, whole)
        for found, whole in (
            (parsed.hours, range(24)),
            (parsed.minutes, range(60)),
            (parsed.seconds, range(60)),
        )
    )
    months = _numbers(parsed.months, range(1, 13))
    every_day = set(range(1, 32)) <= set(parsed.days)
    every_weekday = {day for day in parsed.weekdays if day != 7} >= set(range(7))
    day, weekdays = _days(cron, parsed.days), "" if every_weekday else _weekdays(cron, parsed)
    if every_day or every_weekday or parsed.day_and:
        return [f"{weekdays}*-{months}{day} {times} {tz}"]
    return [f"*-{months}{day} {times} {tz}", f"{weekdays}*-{months}-* {times} {tz}"]


def _numbers(found: Collection[int], whole: range) -> str:
    return "*" if set(whole) <= set(found) else ",".join(f"{n:02d}" for n in sorted(found))


def _days(cron: str, days: Collection[int]) -> str:
    from cronsim import CronSim

    if CronSim.LAST_WEEKDAY in days or (CronSim.LAST in days and len(days) > 1):
        raise UsageError(f"--cron {cron!r}: systemd has no last weekday of a month.")
    return "~01" if CronSim.LAST in days else "-" + _numbers(days, range(1, 32))


def _weekdays(cron: str, parsed: object) -> str:
    found = parsed.weekdays  # type: ignore[attr-defined]
    if any(isinstance(day, tuple) for day in found):
        raise UsageError(f"--cron {cron!r}: systemd has no n-th weekday of a month.")
    return ",".join(DAYS[day] for day in sorted({day % 7 for day in found})) + " "
