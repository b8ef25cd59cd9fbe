"""The scheduler's loop: rows for what is due, ticks for what may start, ends for what ended.

Any number of them may run on one file of schedules, and any may be killed at any moment.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from actors.errors import RunFailed
from jobs.schedules import ticks
from jobs.schedules.advance import advance
from jobs.schedules.claim import claim
from jobs.schedules.clock import Clock, WallClock
from jobs.schedules.schedule import RUNNING, Fire, Schedule
from jobs.schedules.settle import settle
from jobs.schedules.store import Schedules
from jobs.schedules.ticks import Ended, Ticks

POLL_SECONDS = 1.0
"""How often the loop looks: cron's own step is a minute, and a look costs under a millisecond."""

LEASE_SECONDS = 60.0
"""A scheduler that claimed a fire and did not start it within this is stopped or stuck; another
takes the fire back."""

_log = logging.getLogger(__name__)

Command = Callable[[Schedule, Fire], list[str]]


@dataclass
class Loop:
    """A scheduler. `heard` is told each fire that changed; `notify`, each that failed for good."""

    schedules: Schedules
    at_once: int
    heard: Callable[[Fire], None] = lambda fire: None
    notify: Callable[[Fire], None] = lambda fire: None
    clock: Clock = field(default_factory=WallClock)
    command: Command = ticks.command
    poll: float = POLL_SECONDS
    lease: float = LEASE_SECONDS

    def __post_init__(self) -> None:
        self._me = ticks.me()
        self._asked = 0
        self._trouble = ""
        self._ticks = Ticks(self.schedules.logs, self._me)

    def run(self) -> None:
        """Run until told to drain, then until the ticks that run have ended.

        A disk that is full or read-only, or a file that another process keeps locked, is waited
        for; when draining it is raised, as RunFailed.
        """
        while not (self._draining and not self._mine()):
            try:
                self.step()
                self._trouble = ""
            except RunFailed as error:
                if self._draining:
                    raise
                self._wait_out(str(error))
            self.clock.wait(self.poll)

    def _wait_out(self, trouble: str) -> None:
        """Say what is wrong, once."""
        if trouble != self._trouble:
            self._trouble = trouble
            _log.error("%s\n  nothing starts until this is mended; it is tried again", trouble)

    def once(self) -> None:
        """Run what is due now, to its end."""
        while True:
            self.step()
            now = self.clock.now()
            idle = self._draining or not self.schedules.has_due(now)
            if idle and not self._mine():
                return
            self.clock.wait(self.poll)

    def drain(self) -> None:
        """Start nothing more; asked for again, end what runs. For signal handlers."""
        self._asked += 1

    @property
    def _draining(self) -> bool:
        return self._asked > 0

    @property
    def interrupted(self) -> bool:
        """Whether it was asked to end what runs."""
        return self._asked > 1

    def step(self) -> None:
        """Look once."""
        now = self.clock.now()
        self._ticks.reap()
        for fire in self.schedules.running():
            self._settle(fire, now)
        if self.interrupted:
            for fire in self._mine():
                self._ticks.stop(fire)
        if self._draining:
            return
        while not advance(self.schedules, now):
            pass
        for fire in claim(self.schedules, self._me, now, self.at_once):
            self.heard(fire)
            if fire.state == RUNNING:
                self._start(fire)

    def _mine(self) -> list[Fire]:
        return [fire for fire in self.schedules.running() if fire.owner == self._me]

    def _start(self, fire: Fire) -> None:
        schedule = self.schedules.find(fire.schedule)
        try:
            if schedule is not None:
                self._ticks.start(schedule, fire, self.command(schedule, fire))
                return
            ended = Ended(2, error="the schedule was removed")
        except OSError as error:
            ended = Ended(1, error=f"the tick cannot start: {error}")
        self._tell(settle(self.schedules, fire, ended, self.clock.now()))

    def _settle(self, fire: Fire, now: float) -> None:
        stale = fire.claimed is not None and now - fire.claimed > self.lease
        with self._files():
            ended = self._ticks.ended(fire, stale)
        if ended is not None:
            self._tell(settle(self.schedules, fire, ended, now))
            with self._files():
                self._ticks.forget(fire)

    @contextlib.contextmanager
    def _files(self) -> Iterator[None]:
        """Turn what goes wrong with the files of ticks into RunFailed."""
        try:
            yield
        except OSError as error:
            raise RunFailed(
                f"{self.schedules.logs}: what ticks keep there cannot be used: {error}"
            ) from None

    def _tell(self, fire: Fire | None) -> None:
        if fire is None:
            return
        self.heard(fire)
        if fire.state == "failed":
            self.notify(fire)
