"""Durations as people write them: 90s, 5m, 2h, 1d, 1h30m."""

import re

from actors.errors import UsageError

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
PART = r"(\d+(?:\.\d+)?)([dhms])"


def seconds(text: str, flag: str) -> float:
    """Read a duration. Raises UsageError, which names the flag."""
    if not re.fullmatch(f"({PART})+", text):
        raise UsageError(
            f"{flag} {text}: this is no duration.\n  write, for example:  {flag} 90s, 5m, 2h, 1h30m"
        )
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(PART, text))


def words(duration: float) -> str:
    """Write a duration: 5400 is "1h30m"."""
    parts, rest = [], duration
    for unit, size in UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count:g}{unit}")
    return "".join(parts) or f"{duration:g}s"
