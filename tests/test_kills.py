"""Real runs, killed and interrupted: every row ends exactly once, and nothing is left running."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.campaign import LEAVE_SECONDS, ROOT, Campaign, end_all, wait_for_all

pytestmark = pytest.mark.ray


def test_each_kind_of_kill_costs_no_row_and_leaves_no_process(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, "jsonl", seed=5)
    campaign.add_file(30)
    try:
        campaign.start()
        for kind in ("model", "worker", "driver"):
            campaign.wait_for("model")
            time.sleep(0.5)
            assert campaign.kill(kind), kind
            campaign.check_data()
        campaign.add_file(5)
        campaign.finish()
    finally:
        end_all(campaign.family())
    assert campaign.figures.kills == {"model": 1, "worker": 1, "driver": 1}
    assert campaign.figures.rows + campaign.figures.rejected == 35


SIGTERM = pytest.param(signal.SIGTERM, marks=pytest.mark.chaos)


@pytest.mark.parametrize("sent", [signal.SIGINT, SIGTERM])
def test_an_interrupted_run_says_so_leaves_nothing_and_goes_on(
    tmp_path: Path, sent: signal.Signals
) -> None:
    campaign = Campaign(tmp_path, "parquet")
    campaign.add_file(200)
    try:
        campaign.start()
        campaign.wait_for("model")
        second = subprocess.run(
            [sys.executable, "-m", "jobs.cli", "run", "pipeline.yaml"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (second.returncode, "another run is writing" in second.stderr) == (2, True)
        family = campaign.family()
        # Ctrl-C in a terminal goes to the whole group, a stop of the system to the driver.
        send = os.killpg if sent is signal.SIGINT else os.kill
        send(campaign.run.pid, sent)
        assert campaign.wait(60) == 130
        assert wait_for_all(family, LEAVE_SECONDS) == []
        assert "interrupted: what is committed stays" in (tmp_path / "log.txt").read_text()
        assert not (tmp_path / "out/_gristmill/lock.json").exists()
    finally:
        end_all(campaign.family())


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("kind", "seed"), [("jsonl", 1), ("parquet", 2)])
def test_a_hundred_kills_each_way_cost_no_row(tmp_path: Path, kind: str, seed: int) -> None:
    campaign = Campaign(tmp_path, kind, seed)
    try:
        campaign.fight(100)
        campaign.finish()
    finally:
        end_all(campaign.family())
    print(campaign.figures)
    assert sum(campaign.figures.kills.values()) >= 100
    assert campaign.figures.under_fire > 0
