"""The two nouns of a schedule: the schedule itself, and one fire of it.

A fire goes  due -> running -> done | failed | cancelled,  back to due for each retry; or from due,
or at once, to  skipped (overlap, pause) | missed (no scheduler was running) | cancelled.
"""

from dataclasses import dataclass

OVERLAPS = ("skip", "buffer", "allow")
"""What becomes of a fire while an earlier one runs: skipped, one waits, both run."""

CATCH_UPS = ("latest", "all", "none")
"""Which of the fires run that were due while no scheduler was running."""

DUE, RUNNING, DONE, FAILED = "due", "running", "done", "failed"
SKIPPED, MISSED, CANCELLED = "skipped", "missed", "cancelled"
STATES = (DUE, RUNNING, DONE, FAILED, SKIPPED, MISSED, CANCELLED)

CRON, LATE, BACKFILL, TRIGGER = "cron", "late", "backfill", "trigger"
"""Why a fire is there: its time came; its time had passed; it was asked for, then or for now."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What runs when, and by which policies. Durations are seconds, times seconds since 1970.

    `settings` are the --set of the run; `folder` is where the command runs; `address` is the
    cluster that a tick submits to, if it does; `paused` says why, empty if it is not; `next_fire`
    is the first time that has no row yet, None if there is none; `failures` are those in a row.
    """

    name: str
    file: str
    folder: str
    cron: str
    zone: str
    settings: tuple[str, ...] = ()
    address: str | None = None
    overlap: str = "skip"
    catch_up: str = "latest"
    jitter: float = 0.0
    time_limit: float | None = None
    retries: int = 3
    backoff: float = 60.0
    pause_after: int | None = None
    created: float = 0.0
    paused: str = ""
    next_fire: int | None = None
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Fire:
    """One fire of a schedule. Times are seconds since 1970.

    `not_before` is when it may start (jitter, back-off). `owner` is the scheduler that
    claimed its latest attempt, at `claimed`; `token` tells that attempt's files from all others.
    `rows` and `rejected` are what that attempt wrote.
    """

    id: int
    schedule: str
    fire_time: int
    kind: str
    state: str
    reason: str
    not_before: float
    attempts: int
    owner: str | None
    claimed: float | None
    token: str | None
    exit_code: int | None
    rows: int | None
    rejected: int | None
    started: float | None
    stopped: float | None
