"""Durations as people write them: 90s, 5m, 2h, 1d, 1h30m; a number alone is seconds."""

import re

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
NUMBER = r"\d+(?:\.\d+)?"
PART = rf"({NUMBER})([dhms])"


def seconds(text: str) -> float:
    """Read a duration. Raises ValueError."""
    if re.fullmatch(NUMBER, text):
        return float(text)
    if not re.fullmatch(f"({PART})+", text):
        raise ValueError(f"{text!r} is no duration")
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(PART, text))


def words(duration: float) -> str:
    """Write a duration: 5400 is "1h30m"."""
    parts, rest = [], duration
    for unit, size in UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count:g}{unit}")
    return "".join(parts) or f"{duration:g}s"
