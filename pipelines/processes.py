"""Processes of this machine told apart: a number is given again, a birth is not."""

import os
from pathlib import Path

import psutil


def born(pid: int) -> float:
    """When a process began, in seconds since the machine did, or (without /proc) since 1970.

    psutil computes it from the wall clock, and so gives another answer when that is set. Raises
    psutil.NoSuchProcess.
    """
    if not psutil.LINUX:
        return psutil.Process(pid).create_time()
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(pid) from None
    # Field 22; the name in field 2 stands in parentheses and may hold anything.
    return int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def lives(pid: int, since: float) -> bool:
    """Whether the process of this number that began at `since` (as `born` said) is alive."""
    try:
        return born(pid) == since and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
