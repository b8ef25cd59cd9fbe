"""What tests of schedules share: a clock that is set, schedules that are right but for a change."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jobs.schedules import cron
from jobs.schedules.advance import advance
from jobs.schedules.claim import claim
from jobs.schedules.schedule import RUNNING, Fire, Schedule
from jobs.schedules.settle import settle
from jobs.schedules.store import Schedules
from jobs.schedules.ticks import Ended

START = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
"""A Monday at midnight."""

MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass
class SetClock:
    """A clock that stands, and moves by what is waited for."""

    time: float = START

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        self.time += seconds


def added(schedules: Schedules, **change) -> Schedule:
    """Keep a schedule that fires each hour, from START on."""
    values = {"name": "hourly", "file": "p.yaml", "folder": "/", "cron": "0 * * * *"}
    schedule = Schedule(**values | {"zone": "UTC", "created": START} | change)
    first = cron.next_fire(schedule.cron, cron.zone(schedule.zone), START)
    new = Schedule(**{f: getattr(schedule, f) for f in Schedule.__slots__} | {"next_fire": first})
    schedules.add(new)
    return new


@dataclass
class Mill:
    """A scheduler without processes: fires are started and ended by the test."""

    schedules: Schedules
    time: float = START

    def at(self, seconds: float) -> list[Fire]:
        """Let the scheduler look, so many seconds after START; returns the fires that started."""
        self.time = START + seconds
        while not advance(self.schedules, self.time):
            pass
        claimed = claim(self.schedules, "me", self.time, at_once=100)
        return [fire for fire in claimed if fire.state == RUNNING]

    def end(self, fire: Fire, code: int | None = 0, **ended) -> Fire | None:
        """End a fire's attempt."""
        return settle(self.schedules, fire, Ended(code, **ended), self.time)

    def through(self, stop: float, step: float = MINUTE) -> int:
        """Look at each step from START on, ending what starts at once; returns how many ran."""
        return sum(self._ended(START + t) for t in range(0, int(stop) + 1, int(step)))

    def _ended(self, time: float) -> int:
        started = self.at(time - START)
        for fire in started:
            self.end(fire)
        return len(started)

    def states(self, name: str = "hourly") -> list[str]:
        """The states of a schedule's fires, the oldest first."""
        return [fire.state for fire in self.schedules.history(name, 10_000)][::-1]

    def reasons(self) -> list[str]:
        return [fire.reason for fire in self.schedules.history(None, 10_000)][::-1]


def opened(folder: Path) -> Iterator[Mill]:
    """A mill on a new file of schedules."""
    schedules = Schedules(folder / "schedules.db")
    yield Mill(schedules)
    schedules.close()
