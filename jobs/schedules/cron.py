"""Cron expressions in a time zone: checked when given, enumerated without end.

At a clock change cronsim does as Debian's cron does: what stands at fixed times (30 2 * * *) fires
once a day, after the gap in spring, at the first of two in autumn; what repeats (*/15 * * * *, or
any hour that begins with *) follows elapsed time.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from actors.errors import UsageError, nearest

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

FIELDS = {
    "minute": "0-59",
    "hour": "0-23",
    "day of the month": "1-31, L (the last), LW (the last weekday)",
    "month": "1-12 or JAN-DEC",
    "day of the week": "0-7 or SUN-SAT (0 and 7 are Sunday), FRI#2 (the second), FRIL (the last)",
}
"""The fields of an expression in their order, and what may stand there."""

SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
"""cronsim checks an expression when it is given a day to start from; any will do."""


def check(expression: str) -> str:
    """The expression in five fields. Raises UsageError if it is none, or never fires."""
    if expression.strip().startswith("@"):
        return _alias(expression.strip())
    fields = expression.split()
    if len(fields) != len(FIELDS):
        raise UsageError(
            f"--cron '{expression}': {len(fields)} fields; a cron expression has five: "
            f"{', '.join(FIELDS)}.\n  every night at two:  --cron '0 2 * * *'"
        )
    for number, (name, field) in enumerate(zip(FIELDS, fields, strict=True)):
        _check_field(expression, number, name, field)
    plain = " ".join(fields)
    if not _fires(plain):
        raise UsageError(
            f"--cron '{expression}': this never fires: no month that it names has such a day."
        )
    return plain


def _alias(word: str) -> str:
    if word.lower() not in ALIASES:
        raise UsageError(
            f"--cron '{word}': there is no such word{nearest(word, ALIASES)}.\n"
            f"  words: {', '.join(ALIASES)}; or five fields:  --cron '0 2 * * *'"
        )
    return ALIASES[word.lower()]


def _check_field(expression: str, number: int, name: str, field: str) -> None:
    alone = ["*"] * len(FIELDS)
    alone[number] = field
    try:
        CronSim(" ".join(alone), SOME_DAY)
    except (CronSimError, ValueError):
        raise UsageError(
            f"--cron '{expression}': the {name} is '{field}'.\n"
            f"  it should be {FIELDS[name]}; * for all, 1,2 a list, 1-5 a range, */5 every fifth"
        ) from None


def _fires(expression: str) -> bool:
    try:
        return next(CronSim(expression, SOME_DAY), None) is not None
    except CronSimError:
        return False


def zone(name: str) -> tzinfo:
    """The time zone of a name. Raises UsageError."""
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = available_timezones()
        there = nearest(name, known) if known else ""
        none = "" if known else "\n  this machine has no time zones:  pip install tzdata"
        raise UsageError(
            f"--tz {name}: there is no such time zone{there}; "
            f"write it as in Asia/Seoul, Europe/Berlin, UTC.{none}"
        ) from None


def fires(expression: str, where: tzinfo, after: float) -> Iterator[int]:
    """The times at which an expression fires, later than `after`; seconds since 1970."""
    last = after
    for moment in CronSim(expression, datetime.fromtimestamp(after, where)):
        time = int(moment.timestamp())
        # In the second of two equal hours, cronsim begins again with the first.
        if time > last:
            last = time
            yield time


def next_fire(expression: str, where: tzinfo, after: float) -> int | None:
    """The first of `fires`, None if there is none."""
    return next(fires(expression, where, after), None)
