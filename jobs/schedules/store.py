"""Schedules and their fires in one SQLite file, which several processes share.

Each change is one IMMEDIATE transaction, so that a process that is killed leaves either all of it
or nothing. Raises RunFailed when the file cannot be used.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from actors.errors import RunFailed, UsageError, nearest
from jobs.schedules.schedule import Fire, Schedule

BUSY_SECONDS = 30.0
"""How long to wait for other processes: a thousand due schedules take well under a second."""

VERSION = 1
"""Of the tables; in the file as user_version."""

TABLES = """
CREATE TABLE schedules (
    name TEXT PRIMARY KEY, file TEXT, folder TEXT, cron TEXT, zone TEXT, settings TEXT,
    address TEXT, overlap TEXT, catch_up TEXT, jitter REAL, time_limit REAL, retries INTEGER,
    backoff REAL, pause_after INTEGER, created REAL, paused TEXT, next_fire INTEGER,
    failures INTEGER
);
CREATE TABLE fires (
    id INTEGER PRIMARY KEY, schedule TEXT, fire_time INTEGER, kind TEXT, state TEXT, reason TEXT,
    not_before REAL, attempts INTEGER, owner TEXT, claimed REAL, token TEXT,
    exit_code INTEGER, rows INTEGER, rejected INTEGER, started REAL, stopped REAL,
    UNIQUE (schedule, fire_time)
);
CREATE INDEX next_fires ON schedules (next_fire);
CREATE INDEX open_fires ON fires (state, not_before) WHERE state IN ('due', 'running');
"""

OPEN = "state IN ('due', 'running')"
"""As the index says it: SQLite uses it only for a query that says the same."""


class Schedules:
    """The file of schedules; made when it is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = FULL")
            with self.change():
                self._make()
        except (OSError, sqlite3.Error) as error:
            raise RunFailed(f"{path}: schedules cannot be kept here: {error}") from None

    def _make(self) -> None:
        (version,) = self._file.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise RunFailed(f"{self.path}: written by a newer gristmill; use that one.")
        if version == 0:
            for statement in TABLES.split(";"):
                self._file.execute(statement)
            self._file.execute(f"PRAGMA user_version = {VERSION}")

    @property
    def logs(self) -> Path:
        """The folder of what ticks print, beside the file."""
        return self.path.with_name(self.path.name + "-logs")

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """All that is done inside is done at once, or not at all."""
        with self._errors():
            self._file.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._file.execute("ROLLBACK")
                raise
            self._file.execute("COMMIT")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise RunFailed(f"{self.path}: the schedules cannot be used: {error}") from None

    def _ask(self, question: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._errors():
            return self._file.execute(question, values).fetchall()

    def _tell(self, statement: str, values: Sequence[Any]) -> int:
        """Returns how many rows changed."""
        with self._errors():
            return self._file.execute(statement, values).rowcount

    # schedules

    def all(self) -> list[Schedule]:
        """Every schedule, by name."""
        return [_schedule(r) for r in self._ask("SELECT * FROM schedules ORDER BY name")]

    def get(self, name: str) -> Schedule:
        """One schedule. Raises UsageError, with the nearest name, if there is none."""
        found = self.find(name)
        if found is None:
            names = [schedule.name for schedule in self.all()]
            there = f"\n  schedules here: {', '.join(names[:20])}" if names else ""
            none = "" if names else "; there is none at all.\n  add one:  gristmill schedule add"
            raise UsageError(
                f"there is no schedule '{name}' in {self.path}{nearest(name, names)}{none}{there}"
            )
        return found

    def find(self, name: str) -> Schedule | None:
        """One schedule, None if there is none of that name."""
        rows = self._ask("SELECT * FROM schedules WHERE name = ?", (name,))
        return _schedule(rows[0]) if rows else None

    def add(self, schedule: Schedule) -> None:
        """Keep a new schedule. Raises UsageError if its name is taken."""
        with self.change():
            if self.find(schedule.name):
                raise UsageError(
                    f"there is a schedule '{schedule.name}' already in {self.path}.\n"
                    f"  to replace it (its history stays):  gristmill schedule remove "
                    f"{schedule.name}"
                )
            values = [getattr(schedule, f.name) for f in fields(Schedule)]
            values[SETTINGS] = json.dumps(schedule.settings)
            marks = ", ".join("?" * len(values))
            self._tell(f"INSERT INTO schedules VALUES ({marks})", values)

    def remove(self, name: str) -> None:
        """Forget a schedule, not its fires."""
        self._tell("DELETE FROM schedules WHERE name = ?", (name,))

    def set(self, name: str, **values: Any) -> None:
        """Change columns of a schedule."""
        names = ", ".join(f"{key} = ?" for key in values)
        self._tell(f"UPDATE schedules SET {names} WHERE name = ?", (*values.values(), name))

    def ripe(self, now: float) -> list[Schedule]:
        """The schedules with a fire that has no row yet."""
        ask = "SELECT * FROM schedules WHERE next_fire <= ? ORDER BY next_fire"
        return [_schedule(r) for r in self._ask(ask, (now,))]

    # fires

    def insert(self, schedule: str, fire_time: int, state: str, **values: Any) -> bool:
        """A fire's row; False if there is one for that time already."""
        row = {"schedule": schedule, "fire_time": fire_time, "state": state}
        row |= {"kind": "cron", "reason": "", "not_before": fire_time, "attempts": 0} | values
        marks = ", ".join("?" * len(row))
        statement = f"INSERT OR IGNORE INTO fires ({', '.join(row)}) VALUES ({marks})"
        return self._tell(statement, list(row.values())) == 1

    def update(self, fire: Fire, **values: Any) -> bool:
        """Change a fire that is as it was read, in state and attempts; False if it is not."""
        names = ", ".join(f"{key} = ?" for key in values)
        where = "WHERE id = ? AND state = ? AND attempts = ?"
        same = (fire.id, fire.state, fire.attempts)
        return self._tell(f"UPDATE fires SET {names} {where}", (*values.values(), *same)) == 1

    def running(self) -> list[Fire]:
        """The fires that run."""
        return self._fires(f"WHERE {OPEN} AND state = 'running' ORDER BY id")

    def has_due(self, now: float) -> bool:
        """Whether any fire may start."""
        ask = f"SELECT 1 FROM fires WHERE {OPEN} AND state = 'due' AND not_before <= ? LIMIT 1"
        return bool(self._ask(ask, (now,)))

    def open(self) -> list[Fire]:
        """The fires that run or are to, the oldest first."""
        return self._fires(f"WHERE {OPEN} ORDER BY fire_time, id")

    def cancel(self, schedule: str, reason: str, now: float) -> None:
        """Cancel the fires of a schedule that are to run."""
        change = "state = 'cancelled', reason = ?, stopped = ?"
        where = f"{OPEN} AND state = 'due' AND schedule = ?"
        self._tell(f"UPDATE fires SET {change} WHERE {where}", (reason, now, schedule))

    def fire(self, schedule: str, fire_time: int) -> Fire | None:
        """One fire, None if it has no row."""
        found = self._fires("WHERE schedule = ? AND fire_time = ?", (schedule, fire_time))
        return found[0] if found else None

    def history(self, schedule: str | None, most: int) -> list[Fire]:
        """The latest fires, of one schedule or all, the newest first."""
        where = "WHERE schedule = ?" if schedule else ""
        names = (schedule,) if schedule else ()
        return self._fires(f"{where} ORDER BY fire_time DESC, id DESC LIMIT ?", (*names, most))

    def last_ended(self, schedule: str) -> Fire | None:
        """The latest fire of a schedule that came to an end by running."""
        ended = "state IN ('done', 'failed', 'cancelled') AND attempts > 0"
        ask = f"WHERE schedule = ? AND {ended} ORDER BY fire_time DESC LIMIT 1"
        return next(iter(self._fires(ask, (schedule,))), None)

    def _fires(self, rest: str, values: Sequence[Any] = ()) -> list[Fire]:
        return [Fire(*row) for row in self._ask(f"SELECT * FROM fires {rest}", values)]


SETTINGS = [f.name for f in fields(Schedule)].index("settings")
"""The column that is kept as JSON."""


def _schedule(row: Sequence[Any]) -> Schedule:
    values = list(row)
    values[SETTINGS] = tuple(json.loads(values[SETTINGS]))
    return Schedule(*values)
