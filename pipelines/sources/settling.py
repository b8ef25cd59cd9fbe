"""Files that are still being written: too young to be read, by their own time."""

from collections.abc import Sequence

from pipelines.units import SourceFile

UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", "._copying_", "~")
"""Endings, lower case, that programs give a file until it is whole: browsers, WinSCP, Hadoop's
`fs -put`, editors."""

NANO = 1e-9


def is_unfinished(name: str) -> bool:
    """Say whether a file is called as programs call what they have not finished."""
    return name.lower().endswith(UNFINISHED)


def split(
    files: Sequence[SourceFile], settle: float, now: float
) -> tuple[list[SourceFile], dict[str, str]]:
    """Return the files that are older than `settle` seconds, and the others by name, with why.

    `now` is in seconds, epoch. A file from the future waits until its time has come and passed;
    one without a time is taken.
    """
    if not settle:
        return list(files), {}
    waiting = {file.name: why for file in files if (why := _why(file, settle, now))}
    return [file for file in files if file.name not in waiting], waiting


def _why(file: SourceFile, settle: float, now: float) -> str | None:
    """Say why a file waits; None if it does not."""
    written = modified(file)
    if written is None or now - written >= settle:
        return None
    if written > now:
        return (
            f"its time is {written - now:.0f} s ahead of this machine's clock, and it is read "
            f"{settle:g} s after that; is a clock wrong?"
        )
    return f"it changed {now - written:.0f} s ago, and settle is {settle:g} s"


def modified(file: SourceFile) -> float | None:
    """Return when a file was last changed, in seconds, epoch; None where its version tells none."""
    _, _, said = file.version.partition("-")
    return int(said) * NANO if said.isdecimal() and int(said) else None
