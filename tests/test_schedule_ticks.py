"""Ticks are processes: limits, signals, deaths, and schedulers that find them at work."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from actors.errors import RunFailed
from jobs.schedules import manage
from jobs.schedules.keeper import MARK, members
from jobs.schedules.loop import Loop
from jobs.schedules.schedule import Fire, Schedule
from jobs.schedules.settle import BUSY
from jobs.schedules.store import Schedules
from jobs.schedules.ticks import command
from pipelines.lock import Lock
from pipelines.store import Store
from tests.clockwork import HOUR, START, SetClock, added

Shell = Callable[..., Loop]


@pytest.fixture
def schedules(tmp_path: Path) -> Iterator[Schedules]:
    schedules = Schedules(tmp_path / "schedules.db")
    yield schedules
    for fire in schedules.history(None, 100):
        for pid in marked(schedules, fire):
            os.kill(pid, signal.SIGKILL)
    schedules.close()


@pytest.fixture
def shell(schedules: Schedules, tmp_path: Path) -> Shell:
    """A scheduler whose ticks run a line of shell; its clock stands at one o'clock."""

    def shell(line: str, **change: object) -> Loop:
        if not schedules.find("hourly"):
            added(schedules, **{"folder": str(tmp_path), "retries": 0} | change)
        clock = SetClock(START + HOUR)
        return Loop(schedules, 4, clock=clock, command=lambda *_: ["/bin/sh", "-c", line])

    return shell


def marked(schedules: Schedules, fire: Fire) -> list[int]:
    stamp = "20260302T010000Z"
    name = f"{stamp}-{fire.attempts}-{fire.token}"
    return members(str(schedules.logs / "hourly" / name)) if fire.token else []


def last(schedules: Schedules) -> Fire:
    return schedules.history("hourly", 1)[0]


def until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def stepped(loop: Loop) -> Fire:
    """Let a scheduler look until its fire ended."""

    def ended() -> bool:
        loop.step()
        return last(loop.schedules).state not in ("due", "running")

    until(ended)
    return last(loop.schedules)


def test_a_tick_s_result_and_output_are_kept(shell: Shell, schedules: Schedules) -> None:
    fire = stepped(shell("""echo '{"status": {"rows": 7, "rejected": 1}}'; echo hm >&2"""))
    assert (fire.state, fire.rows, fire.rejected, fire.exit_code) == ("done", 7, 1, 0)
    (log,) = (schedules.logs / "hourly").iterdir()
    assert log.suffix == ".log" and log.read_text() == "hm\n"


def test_a_tick_that_finds_nothing_new_is_done_with_no_rows(shell: Shell) -> None:
    fire = stepped(shell("""echo '{"status": null, "rows": 70}'"""))
    assert (fire.state, fire.rows) == ("done", 0)


def test_the_error_of_a_tick_is_its_fire_s_reason(shell: Shell) -> None:
    fire = stepped(shell("echo 1 row >&2; echo 'error: p.yaml: gone.\n  look' >&2; exit 2"))
    assert (fire.state, fire.exit_code, fire.reason) == ("failed", 2, "p.yaml: gone.\n  look")


def test_a_tick_that_is_killed_says_by_what(shell: Shell) -> None:
    fire = stepped(shell("kill -9 $$"))
    assert (fire.state, fire.exit_code, fire.reason) == ("failed", 137, "killed by signal 9")


def test_at_its_time_limit_a_tick_is_ended_with_all_that_it_started(
    shell: Shell, schedules: Schedules
) -> None:
    loop = shell("setsid sleep 100 & trap 'exit 130' TERM; sleep 100 & wait", time_limit=0.5)
    fire = stepped(loop)
    assert (fire.state, fire.reason) == ("failed", "stopped at its time limit of 0.5s")
    until(lambda: not marked(schedules, fire), 5)  # the keeper is the last to go


def test_a_folder_that_is_gone_fails_the_fire_with_its_name(shell: Shell) -> None:
    fire = stepped(shell("true", folder="/nowhere/at/all"))
    assert (fire.state, fire.exit_code) == ("failed", 2)
    assert "the tick cannot start in /nowhere/at/all" in fire.reason


def test_a_tick_outlives_its_scheduler_and_the_next_one_waits_for_it(
    shell: Shell, schedules: Schedules, tmp_path: Path
) -> None:
    line = "echo x >> began; while ! test -e go; do sleep 0.02; done"
    first = shell(line)
    first.step()
    until((tmp_path / "began").exists)
    schedules.update(last(schedules), owner="1 0.00")  # nobody's: as if killed
    second = shell(line)
    second.step()
    second.step()
    assert last(schedules).state == "running"
    (tmp_path / "go").touch()
    assert stepped(second).state == "done"
    assert (tmp_path / "began").read_text() == "x\n"


def test_a_fire_whose_scheduler_died_before_it_began_never_begins_twice(
    shell: Shell, schedules: Schedules, tmp_path: Path
) -> None:
    loop = shell("echo x >> began", overlap="allow")
    schedules.insert("hourly", int(START), "running", attempts=1, owner="1 0.00", token="t")
    loop.step()
    fire = schedules.fire("hourly", int(START))
    assert fire is not None and (fire.state, fire.reason) == (
        "failed",
        "its process died without a word",
    )
    schedule = schedules.get("hourly")
    loop._ticks.start(schedule, fire, loop.command(schedule, fire))  # it was only very slow
    until(lambda: not loop._ticks.reap() and not loop._ticks._keepers)
    stepped(loop)
    assert (tmp_path / "began").read_text() == "x\n"  # of the hour's own fire


def test_a_scheduler_waits_until_its_file_can_be_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("jobs.schedules.store.BUSY_SECONDS", 0.2)
    schedules = Schedules(tmp_path / "schedules.db")
    added(schedules, folder=str(tmp_path))
    other = sqlite3.connect(schedules.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waited = []

    class Clock(SetClock):
        def wait(self, seconds: float) -> None:
            waited.append(seconds)
            time.sleep(0.02)
            if len(waited) == 3:
                other.execute("ROLLBACK")
            if [fire for fire in schedules.history("hourly", 1) if fire.state != "due"]:
                loop.drain()

    shell = ["/bin/sh", "-c", "true"]
    loop = Loop(schedules, 4, clock=Clock(START + HOUR), command=lambda *_: shell)
    loop.run()
    assert last(schedules).state == "done"
    (said,) = [record.message for record in caplog.records]
    assert "the schedules cannot be used: database is locked" in said and "tried again" in said
    other.close()
    schedules.close()


def test_a_scheduler_that_is_to_end_does_not_wait_for_its_file(
    shell: Shell, schedules: Schedules, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = shell("sleep 100")
    loop.step()
    monkeypatch.setattr(loop._ticks, "ended", lambda *_: (_ for _ in ()).throw(OSError("no room")))
    loop.drain()
    with pytest.raises(RunFailed, match="what ticks keep there cannot be used: no room"):
        loop.run()


def test_a_tick_whose_keeper_is_killed_is_ended_and_failed(
    shell: Shell, schedules: Schedules, tmp_path: Path
) -> None:
    loop = shell("echo x >> began; sleep 100")
    loop.step()
    until((tmp_path / "began").exists)
    (keeper,) = loop._ticks._keepers
    keeper.kill()
    fire = stepped(loop)
    assert (fire.state, fire.exit_code) == ("failed", None)
    assert marked(schedules, fire) == []


def test_asked_twice_a_scheduler_ends_what_runs_and_it_is_cancelled(
    shell: Shell, tmp_path: Path
) -> None:
    loop = shell("trap 'exit 130' TERM; echo x >> began; while true; do sleep 0.05; done")
    loop.step()
    until((tmp_path / "began").exists)
    loop.drain()
    loop.step()
    assert last(loop.schedules).state == "running"
    loop.drain()
    fire = stepped(loop)
    assert (fire.state, fire.exit_code, loop.interrupted) == ("cancelled", 130, True)


def test_what_failed_for_good_is_notified_of_and_nothing_else(shell: Shell) -> None:
    told: list[Fire] = []
    loop = shell("exit 1")
    loop.notify = told.append
    stepped(loop)
    assert [fire.state for fire in told] == ["failed"]


def test_the_refusal_of_a_held_output_begins_as_schedules_expect(tmp_path: Path) -> None:
    store = Store.at("out", tmp_path)
    store.prepare()
    with Lock(store, "one").held(), pytest.raises(Exception, match=f"^{BUSY} "):
        Lock(store, "two")._take()


def test_a_tick_s_command_is_a_run_or_a_submission_with_the_fire_s_time() -> None:
    settings = ("source.path=in/{fire:%Y-%m-%d}", "stages.0.options={top_k: 3}")
    here = Schedule("a", "/p.yaml", "/", "@daily", "Asia/Seoul", settings)
    fire = Fire(1, "a", int(START), *[None] * 13)
    told = ["--set=source.path=in/2026-03-02", "--set=stages.0.options={top_k: 3}", "--json"]
    assert command(here, fire) == [sys.executable, "-m", "jobs.cli", "run", "/p.yaml", *told]
    there = Schedule("a", "/p.yaml", "/", "@daily", "UTC", address="http://head:8265")
    assert command(there, fire)[3:] == [
        "submit",
        "/p.yaml",
        "--wait",
        "--address",
        "http://head:8265",
        "--json",
    ]


def test_another_process_with_a_keeper_s_number_is_not_taken_for_it(
    shell: Shell, schedules: Schedules
) -> None:
    loop = shell("true")
    loop.step()
    until(lambda: list(schedules.logs.rglob("*.ended")))
    (started,) = schedules.logs.rglob("*.started")
    (ended,) = schedules.logs.rglob("*.ended")
    ended.unlink()
    with subprocess.Popen(["sleep", "100"]) as other:
        started.write_text(str(other.pid))
        assert stepped(loop).reason == "its process died without a word"
        assert psutil.pid_exists(other.pid) and MARK not in psutil.Process(other.pid).environ()
        other.kill()


def test_a_pause_leaves_what_runs_alone(shell: Shell, tmp_path: Path) -> None:
    loop = shell("while ! test -e go; do sleep 0.02; done")
    loop.step()
    manage.pause(loop.schedules, "hourly", START + HOUR)
    (tmp_path / "go").touch()
    assert stepped(loop).state == "done"
