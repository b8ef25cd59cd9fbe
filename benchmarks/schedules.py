"""What a scheduler costs:  python -m benchmarks.schedules [--schedules 1000] [--ticks 100]

Idle: looks at schedules of which none is due. Due: all of them at the same moment, up to their
rows, and up to their claim. Ticks: commands that do nothing, from claim to settled, one after the
other. CPU seconds are this process's own; those of ticks also count their keepers.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from jobs.schedules import cron
from jobs.schedules.advance import advance
from jobs.schedules.claim import claim
from jobs.schedules.loop import POLL_SECONDS, Loop
from jobs.schedules.manage import trigger
from jobs.schedules.schedule import Schedule
from jobs.schedules.store import Schedules

START = 1_772_409_600.0
"""A Monday at midnight (UTC)."""

LOOKS = 2000


class Standing:
    """A clock that is set."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        time.sleep(0.01)


def filled(file: Path, count: int) -> Schedules:
    """A file of daily schedules in Seoul's time."""
    schedules = Schedules(file)
    for number in range(count):
        due = cron.next_fire("0 9 * * *", cron.zone("Asia/Seoul"), START)
        schedules.add(
            Schedule(
                f"s{number}", "p.yaml", "/", "0 9 * * *", "Asia/Seoul", created=START, next_fire=due
            )
        )
    return schedules


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of a piece of work, ended children's included."""
    wall, cpu = time.perf_counter(), _cpu()
    work()
    return time.perf_counter() - wall, _cpu() - cpu


def _cpu() -> float:
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = [resource.getrusage(who) for who in both]
    return sum(each.ru_utime + each.ru_stime for each in used)


def idle(loop: Loop) -> float:
    """CPU seconds of an hour of looking."""
    _, cpu = timed(lambda: [loop.step() for _ in range(LOOKS)])
    return cpu / LOOKS * 3600 / POLL_SECONDS


def ticks(loop: Loop, count: int) -> tuple[float, float]:
    """Wall and CPU seconds of one tick that does nothing."""
    for number in range(count):
        trigger(loop.schedules, f"s{number}", loop.clock.now())
    wall, cpu = timed(loop.once)
    return wall / count, cpu / count


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--ticks", type=int, default=100)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        schedules, clock = filled(Path(folder) / "schedules.db", args.schedules), Standing()
        loop = Loop(schedules, 1, clock=clock, command=lambda *_: ["/bin/true"])
        print(f"{args.schedules} schedules, idle: {idle(loop):.2f} CPU-s an hour")
        wall, cpu = ticks(loop, args.ticks)
        print(f"a tick that does nothing: {wall:.3f} s, {cpu:.3f} CPU-s")
        due = START + 86400
        wall, cpu = timed(lambda: advance(schedules, due))
        print(f"all due, their rows: {wall:.3f} s, {cpu:.3f} CPU-s")
        wall, cpu = timed(lambda: claim(schedules, "1 0", due, args.schedules))
        print(f"all due, their claim: {wall:.3f} s, {cpu:.3f} CPU-s")
        rss = psutil.Process().memory_info().rss / 2**20
        print(f"memory: {rss:.0f} MiB; file: {schedules.path.stat().st_size / 2**20:.1f} MiB")
        schedules.close()


if __name__ == "__main__":
    main()
