"""A scheduler whose clock runs fast and stops at an end, with ticks that tell of each other.

    python -m tests.fast_scheduler DB RATE BEGUN END FOLDER [once]

BEGUN is when (seconds since 1970) the clock was at START; from then on it runs RATE times as fast,
up to END. Each tick makes a folder of its schedule's name in FOLDER for as long as it runs, and
writes a line to FOLDER/beside if there is one already.
"""

import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from jobs.schedules.loop import LEASE_SECONDS, Loop
from jobs.schedules.schedule import Fire, Schedule
from jobs.schedules.store import Schedules
from tests.clockwork import START

TICK = 'cd "$0"; mkdir "$1" || echo "$1" >> beside; sleep 0.05; rmdir "$1"; echo "$2" >> ran'


@dataclass
class FastClock:
    """The machine's clock, faster, up to an end."""

    rate: float
    begun: float
    end: float

    def now(self) -> float:
        return min(START + (time.time() - self.begun) * self.rate, self.end)

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


def main(db: str, rate: str, begun: str, end: str, folder: str, *once: str) -> None:
    def command(schedule: Schedule, fire: Fire) -> list[str]:
        named = f"{schedule.name} {fire.fire_time}"
        return ["/bin/sh", "-c", TICK, folder, schedule.name, named]

    clock = FastClock(float(rate), float(begun), float(end))
    lease = LEASE_SECONDS * clock.rate
    schedules = Schedules(Path(db))
    loop = Loop(schedules, 2, clock=clock, command=command, poll=0.05, lease=lease)
    signal.signal(signal.SIGTERM, lambda *_: loop.drain())
    loop.once() if once else loop.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
