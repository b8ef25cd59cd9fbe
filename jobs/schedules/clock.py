"""The clock of a scheduler: given to all that asks for the time, so that tests can run weeks."""

import time
from typing import Protocol


class Clock(Protocol):
    """What the time is, and waiting."""

    def now(self) -> float:
        """Seconds since 1970."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait for so many seconds of this clock."""
        ...


class WallClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def wait(self, seconds: float) -> None:
        """Wait for so many seconds."""
        time.sleep(seconds)
