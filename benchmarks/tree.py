"""What a command and everything that it started took, daemons included.

Waiting for children counts only those that were waited for, and Ray's raylet ignores its own: so
/proc is read instead, every TICK, and the last reading of each process is kept. This process
becomes the one to which orphans fall (a subreaper), so that daemons stay in its tree. The command
itself is read once more when it has ended; of any other process at most its last tick is missed.
Linux only.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TICK = 0.05
"""Seconds between two readings; one takes 2 ms, of this process and not of the tree."""

MEMORY_EVERY = 5
"""Memory is read at every fifth tick: it changes slowly and is dearer to read."""

LINGER = 20.0
"""Seconds that daemons get to end by themselves when the command has ended."""

PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
CLOCK = os.sysconf("SC_CLK_TCK")
MB = 2**20


@dataclass(slots=True)
class Took:
    """wall_s: until the command ended. cpu_s: CPU-seconds per role, all processes. peak_mb: private
    memory of the whole tree at its largest, shared memory counted once. roles_mb: the same at the
    largest of each role."""

    wall_s: float = 0.0
    code: int = 0
    roles_s: dict[str, float] = field(default_factory=dict)
    peak_mb: float = 0.0
    roles_mb: dict[str, float] = field(default_factory=dict)
    processes: int = 0
    output: str = ""

    @property
    def cpu_s(self) -> float:
        """CPU-seconds of the whole tree."""
        return sum(self.roles_s.values())


@dataclass(slots=True)
class _Process:
    role: str
    seconds: float = 0.0


def role_of(command: str) -> str:
    """Name what a process is, by its command line."""
    signs = {
        "actors.child": "model",
        "ray::IDLE": "idle workers",
        "ray::": "Ray tasks and actors",
        "default_worker": "idle workers",
        "gcs_server": "Ray daemons",
        "raylet": "Ray daemons",
        "ray/dashboard": "Ray daemons",
        "_private": "Ray daemons",
    }
    return next((role for sign, role in signs.items() if sign in command), "driver")


def measure(command: Sequence[str], environment: Mapping[str, str], cwd: Path) -> Took:
    """Run a command to its end and see to it that nothing of it is left."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    took = Took()
    seen: dict[int, _Process] = {}
    start = time.monotonic()
    log = os.memfd_create("output")
    process = subprocess.Popen(
        command, env=dict(environment), cwd=cwd, stdout=log, stderr=log, stdin=subprocess.DEVNULL
    )
    _watch(took, seen, lambda: _has_ended(process.pid))
    took.wall_s = time.monotonic() - start
    took.code = process.wait()
    until = time.monotonic() + LINGER
    _watch(took, seen, lambda: not _reap() or time.monotonic() > until)
    _end_rest(took, seen)
    took.processes = len(seen)
    for each in seen.values():
        took.roles_s[each.role] = took.roles_s.get(each.role, 0.0) + each.seconds
    took.output = os.pread(log, 10 * MB, 0).decode(errors="replace")
    os.close(log)
    return took


def _watch(took: Took, seen: dict[int, _Process], is_over: Callable[[], bool]) -> None:
    tick = 0
    while True:
        over = is_over()
        pids = _read_cpu(seen)
        if tick % MEMORY_EVERY == 0:
            _read_memory(took, seen, pids)
        if over:
            return
        tick += 1
        time.sleep(TICK)


def _read_cpu(seen: dict[int, _Process]) -> list[int]:
    """Note what each descendant used so far; return their pids."""
    stats = _stats()
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in stats.items():
        children.setdefault(parent, []).append(pid)
    found, new = [], list(children.get(os.getpid(), ()))
    while new:
        pid = new.pop()
        found.append(pid)
        new += children.get(pid, ())
        process = seen.setdefault(pid, _Process("driver"))
        process.seconds = max(process.seconds, stats[pid][1])
    return found


def _stats() -> dict[int, tuple[int, float]]:
    """Return pid -> (parent, CPU-seconds) of all processes."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - twice as fast
        try:
            fields = Path(f"/proc/{name}/stat").read_bytes().rpartition(b") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[int(name)] = (int(fields[1]), (int(fields[11]) + int(fields[12])) / CLOCK)
    return found


def _read_memory(took: Took, seen: dict[int, _Process], pids: Sequence[int]) -> None:
    private: dict[str, float] = {}
    shared = 0.0
    for pid in pids:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if not command:
            continue
        role = seen[pid].role = _later(seen[pid].role, role_of(command))
        values = {k: v for k, _, v in (line.partition(":") for line in status.splitlines())}
        private[role] = private.get(role, 0.0) + _mb(values["RssAnon"])
        shared = max(shared, _mb(values["RssShmem"]))
    took.peak_mb = max(took.peak_mb, sum(private.values()) + shared)
    for role, size in {**private, "object store": shared}.items():
        took.roles_mb[role] = max(took.roles_mb.get(role, 0.0), size)


def _later(before: str, now: str) -> str:
    """Return a process's role: Ray's workers rename themselves, and are idle before and after."""
    return before if now == "idle workers" and before != "driver" else now


def _mb(text: str) -> float:
    """Return "1234 kB" in MiB."""
    return int(text.split()[0]) / 1024


def _has_ended(pid: int) -> bool:
    """Whether a child has ended; it can still be read until it is waited for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _reap() -> bool:
    """Forget children that ended before the last reading; return whether any is left."""
    while True:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if not ended:
            return True


def _end_rest(took: Took, seen: dict[int, _Process]) -> None:
    """End what is still in this process's own tree."""
    for pid in _read_cpu(seen):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    while _reap():
        time.sleep(TICK)
