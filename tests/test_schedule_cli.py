"""`gristmill schedule`: what it prints, what it refuses, and a whole tick of a real pipeline."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import main
from jobs.schedules import loop
from jobs.schedules.store import Schedules

ROOT = Path(__file__).parent.parent
DAILY = ("--cron", "@daily")
Said = Callable[..., Any]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder with a right pipeline file, and schedules of its own."""
    (tmp_path / "texts.jsonl").write_text('{"text": "a", "n": 1}\n')
    pipeline = {
        "name": "try",
        "source": {"kind": "jsonl", "path": "texts.jsonl"},
        "stages": [{"task": "tests.stages.echo:Echo"}],
        "sink": {"kind": "parquet", "path": "out/try"},
    }
    (tmp_path / "p.yaml").write_text(json.dumps(pipeline))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of the ticks, which run in this folder
    monkeypatch.setenv("GRISTMILL_HOME", str(tmp_path / "home"))
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    yield tmp_path
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Give a command; returns the JSON that it prints, or, with `code`, what it says instead."""

    def said(*words: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert main(["schedule", *words, *([] if code else ["--json"])]) == code
        out, err = capsys.readouterr()
        return err.removeprefix("error: ").removesuffix("\n") if code else json.loads(out)

    return said


def test_a_schedule_that_is_added_is_listed_with_its_next_fire_in_its_zone(
    said: Said, place: Path
) -> None:
    added = said("add", "nightly", "p.yaml", "--cron", "30 2 * * *", "--tz", "Asia/Seoul")
    assert said("list") == [added]
    assert added["next_fire"].endswith("T02:30:00+09:00")
    assert (added["file"], added["folder"]) == (str(place / "p.yaml"), str(place))
    assert (added["overlap"], added["catch_up"], added["retries"]) == ("skip", "latest", 3)
    assert (place / "home" / "schedules.db").is_file()


def test_a_schedule_s_policies_are_kept_in_seconds(said: Said) -> None:
    flags = ["--jitter=5m", "--time-limit=1h30m", "--backoff=90s", "--pause-after=3", "--retries=0"]
    more = ("--set", "sink.path=out/{fire:%Y-%m-%d}", "--submit", "http://head:8265")
    added = said("add", "nightly", "p.yaml", *DAILY, *flags, *more)
    assert (added["jitter"], added["time_limit"], added["backoff"]) == (300, 5400, 90)
    assert (added["pause_after"], added["retries"]) == (3, 0)
    assert (added["settings"], added["address"]) == (["sink.path=out/{fire:%Y-%m-%d}"], more[3])


def test_another_file_of_schedules_can_be_named(said: Said, place: Path) -> None:
    said("add", "nightly", "p.yaml", *DAILY, "--db", "mine.db")
    assert (said("list"), len(said("list", "--db", "mine.db"))) == ([], 1)


def test_pause_resume_trigger_remove_and_history_tell_one_story(said: Said) -> None:
    said("add", "nightly", "p.yaml", *DAILY)
    said("pause", "nightly")
    (listed,) = said("list")
    assert (listed["paused"], listed["next_fire"]) == ("paused by hand", None)
    said("resume", "nightly")
    said("trigger", "nightly")
    said("remove", "nightly")
    (fire,) = said("history", "nightly")
    assert (fire["kind"], fire["state"]) == ("trigger", "cancelled")
    assert fire["reason"] == "the schedule was removed"
    assert said("list") == []


def test_a_backfill_says_how_many_fires_it_made(said: Said) -> None:
    said("add", "nightly", "p.yaml", *DAILY)
    span = ("--from", "2026-01-01", "--to", "2026-01-31")
    assert said("backfill", "nightly", *span)["fires"] == 31
    assert said("backfill", "nightly", *span)["fires"] == 0
    assert len(said("history", "--last", "50")) == 31


def test_a_backfill_of_a_schedule_without_the_fire_s_time_is_warned_of(
    said: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    said("add", "plain", "p.yaml", *DAILY)
    said("add", "timed", "p.yaml", *DAILY, "--set", "sink.path=out/{fire:%Y-%m-%d}")
    span = ("--from", "2026-01-01", "--to", "2026-01-31")
    warned = {}
    for name in ("plain", "timed"):
        assert main(["schedule", "backfill", name, *span, "--json"]) == 0
        warned[name] = "each of these fires answers the same" in capsys.readouterr().err
    assert warned == {"plain": True, "timed": False}


def test_the_last_day_of_a_backfill_is_taken_whole(said: Said) -> None:
    said("add", "early", "p.yaml", "--cron", "30 2 * * *", "--tz", "Asia/Seoul")
    span = ("--from", "2026-01-01", "--to")
    assert said("backfill", "early", *span, "2026-01-02T01:00")["fires"] == 1
    assert said("backfill", "early", *span, "2026-01-02")["fires"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("add", "x", "p.yaml", "--cron", "0 0 30 2 *"), "--cron '0 0 30 2 *': this never fires"),
        (("add", "x", "p.yaml", *DAILY, "--tz", "Asia/Soul"), "--tz Asia/Soul: there is no such"),
        (("add", "x", "q.yaml", *DAILY), "{place}/q.yaml: there is no such file (did you mean 'p."),
        (("add", "x", "p.yaml", *DAILY, "--set", "a"), "--set a: this is no PLACE=VALUE"),
        (("add", "../x", "p.yaml", *DAILY), "'../x' is no name for a schedule"),
        (("add", "x", "p.yaml", *DAILY, "--submit", "ftp://x"), "'ftp://x' is no address of a"),
        (
            ("add", "x", "p.yaml", *DAILY, "--submit", "http://me:KEY@x"),
            "schedule x: --submit holds",
        ),
        (
            ("add", "x", "p.yaml", *DAILY, "--set", "source.path=s3://me:KEY@b/x"),
            "schedule x: --set.source.path holds a password or a key, which would be kept with",
        ),
        (("add", "nightly", "p.yaml", *DAILY), "there is a schedule 'nightly' already"),
        (("remove", "nihgtly"), "there is no schedule 'nihgtly' in {place}/home/schedules.db (did"),
        (("history", "nihgtly"), "there is no schedule 'nihgtly'"),
        (("backfill", "nightly", "--from", "may", "--to", "2026-01-01"), "--from may: this is no"),
        (("backfill", "nightly", "--from", "2026-02-01", "--to", "2026-01-01"), "--to 2026-01-01"),
        (("backfill", "nightly", "--from", "2026-01-01", "--to", "2999-01-01"), "--to 2999-01-01"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_kept(
    said: Said, place: Path, words: tuple[str, ...], message: str
) -> None:
    said("add", "nightly", "p.yaml", *DAILY)
    assert said(*words, code=2).startswith(message.format(place=place))
    assert len(said("list")) == 1 and said("history") == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--jitter", "5 minutes"), "--jitter: should be a duration, as 90s, 5m, 2h, 1h30m, or"),
        (("--time-limit", "0s"), "--time-limit: should be longer than nothing (got '0s')"),
        (("--retries", "-1"), "--retries: should be a whole number, 0 or more (got '-1')"),
    ],
)
def test_a_duration_or_a_number_that_is_none_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, str], message: str
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["schedule", "add", "x", "p.yaml", *DAILY, *words])
    assert (left.value.code, message in capsys.readouterr().err) == (2, True)


def test_schedules_are_for_nobody_else_to_read(said: Said, place: Path) -> None:
    said("list")
    assert (place / "home").stat().st_mode & 0o777 == 0o700


def test_a_backfill_of_minutes_over_a_year_is_a_slip(said: Said) -> None:
    said("add", "often", "p.yaml", "--cron", "* * * * *")
    message = said("backfill", "often", "--from", "2025-01-01", "--to", "2026-01-01", code=2)
    assert "fires more than 10,000 times" in message


def test_a_file_that_holds_no_schedules_is_said_to_be_none(said: Said, place: Path) -> None:
    (place / "mine.db").write_text("not a database, but long enough to be looked at" * 100)
    message = said("list", "--db", "mine.db", code=1)
    assert message.startswith(f"{place}/mine.db: schedules cannot be kept here:")


def test_a_file_of_a_newer_version_is_left_alone(said: Said, place: Path) -> None:
    schedules = Schedules(place / "mine.db")
    schedules._file.execute("PRAGMA user_version = 99")
    schedules.close()
    assert "written by a newer gristmill" in said("list", "--db", "mine.db", code=1)


def test_once_runs_what_is_due_and_its_failure_is_in_the_history(
    said: Said, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said("add", "nightly", "p.yaml", *DAILY)
    said("trigger", "nightly")
    Path("p.yaml").unlink()
    capsys.readouterr()
    assert main(["schedule", "run", "--once", "--json"]) == 1
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["state"] for event in events] == ["running", "failed"]
    (fire,) = said("history")
    assert fire["exit_code"] == 2 and f"{place}/p.yaml: there is no such file" in fire["reason"]
    assert "there is no such file" in Path(fire["log"]).read_text()
    (listed,) = said("list")
    assert (listed["last"]["state"], listed["failures"]) == ("failed", 1)


def test_once_says_by_its_exit_code_that_a_tick_failed_though_its_retry_waits(
    said: Said, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said("add", "nightly", "p.yaml", *DAILY)
    said("trigger", "nightly")
    words = "not answered: texts.jsonl: Missing a closing quotation mark in string. in row 0, as is"
    failing = [sys.executable, "-c", f"import sys; sys.exit({words!r})"]
    monkeypatch.setattr(loop, "Loop", partial(loop.Loop, command=lambda *_: failing))
    capsys.readouterr()
    assert main(["schedule", "run", "--once"]) == 1
    event = capsys.readouterr().out.splitlines()[-1]
    assert "  due again at " in event and event.endswith(words)


def test_a_scheduler_ends_on_sigterm_when_its_tick_has_ended(said: Said, place: Path) -> None:
    said("add", "nightly", "p.yaml", *DAILY)
    said("trigger", "nightly")
    Path("p.yaml").unlink()
    command = [sys.executable, "-m", "jobs.cli", "schedule", "run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as scheduler:
        assert scheduler.stdout is not None
        assert "running (attempt 1" in scheduler.stdout.readline()
        scheduler.send_signal(signal.SIGTERM)
        assert "failed: " in scheduler.stdout.readline()
        assert scheduler.wait(30) == 0


@pytest.mark.ray
def test_a_tick_answers_what_is_new_and_the_next_one_nothing(said: Said, place: Path) -> None:
    said("add", "nightly", "p.yaml", *DAILY)
    for _ in range(2):
        said("trigger", "nightly")
        subprocess.run([sys.executable, "-m", "jobs.cli", "schedule", "run", "--once"], check=True)
    second, first = said("history")
    assert (first["state"], first["rows"], first["exit_code"]) == ("done", 1, 0)
    assert (second["state"], second["rows"]) == ("done", 0)
    assert (place / "out" / "try" / "data").is_dir()
