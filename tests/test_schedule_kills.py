"""Schedulers die by SIGKILL at any moment; each fire has one row, and runs beside no other."""

import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pytest

from jobs.schedules import cron
from jobs.schedules.schedule import Fire
from jobs.schedules.store import Schedules
from tests.clockwork import HOUR, START, added

ROOT = Path(__file__).parent.parent
RATE = 3600
JITTER = 300.0
PLANS = {
    "all": {"cron": "*/20 * * * *", "catch_up": "all"},
    "latest": {"cron": "*/15 * * * *", "catch_up": "latest", "overlap": "buffer"},
    "none": {"cron": "*/30 * * * *", "catch_up": "none", "jitter": JITTER},
}


@dataclass
class Campaign:
    """Schedulers on one file, of which some are killed."""

    folder: Path
    hours: int
    seed: int

    def run(self, at_once: int) -> int:
        """Kill schedulers until the clock stands at its end; returns how many were killed."""
        self.dice = random.Random(self.seed)
        schedules = Schedules(self.folder / "schedules.db")
        for name, plan in PLANS.items():
            added(schedules, name=name, folder=str(self.folder), zone="Europe/Berlin", **plan)
        schedules.close()
        self.begun, killed = time.time(), 0
        living = [self._scheduler() for _ in range(at_once)]
        while time.time() < self.begun + (self.hours * HOUR + JITTER) / RATE:
            time.sleep(self.dice.uniform(0.2, 1.0))
            victim = living.pop(0)
            victim.kill()
            killed += victim.wait() == -9
            living.append(self._scheduler())
        for each in living:
            each.terminate()
            each.wait(60)
        self._scheduler("once").wait(240)
        return killed

    def _scheduler(self, *once: str) -> "subprocess.Popen[bytes]":
        end = START + self.hours * HOUR + JITTER
        told = [self.folder / "schedules.db", RATE, self.begun, end, self.folder, *once]
        command = [sys.executable, "-m", "tests.fast_scheduler", *map(str, told)]
        return subprocess.Popen(command, cwd=ROOT)

    def check(self) -> Counter[str]:
        """Every fire has its row, none ran beside another; returns the states."""
        schedules = Schedules(self.folder / "schedules.db")
        fires = schedules.history(None, 100_000)
        schedules.close()
        for name, plan in PLANS.items():
            times = sorted(fire.fire_time for fire in fires if fire.schedule == name)
            assert times == self._expected(plan["cron"])
        assert not (self.folder / "beside").exists()
        self._check_runs(fires)
        return Counter(fire.state for fire in fires)

    def _expected(self, expression: str) -> list[int]:
        ahead = cron.fires(expression, cron.zone("Europe/Berlin"), START)
        return list(takewhile(lambda t: t <= START + self.hours * HOUR, ahead))

    def _check_runs(self, fires: list[Fire]) -> None:
        """What ran is what is done: once each, as no tick was killed."""
        ran = sorted((self.folder / "ran").read_text().splitlines())
        done = [f"{fire.schedule} {fire.fire_time}" for fire in fires if fire.state == "done"]
        assert ran == sorted(done)


def test_whenever_schedulers_are_killed_each_fire_has_one_row_and_runs_once(
    tmp_path: Path,
) -> None:
    campaign = Campaign(tmp_path, hours=4, seed=1)
    assert campaign.run(at_once=2) >= 3
    states = campaign.check()
    assert set(states) <= {"done", "missed", "skipped"} and states["done"] >= 12


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(3))
def test_a_long_campaign_of_kills_loses_no_fire(tmp_path: Path, seed: int) -> None:
    campaign = Campaign(tmp_path, hours=60, seed=seed)
    assert campaign.run(at_once=1 + seed) >= 12
    states = campaign.check()
    assert set(states) <= {"done", "missed", "skipped"} and states["done"] >= 180
