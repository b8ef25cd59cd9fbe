"""Schedules by their policies: each fire has one row, which says what became of it."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.schedules import manage
from jobs.schedules.advance import advance, jitter
from jobs.schedules.store import Schedules
from tests.clockwork import DAY, HOUR, MINUTE, START, Mill, added, opened


@pytest.fixture
def mill(tmp_path: Path) -> Iterator[Mill]:
    yield from opened(tmp_path)


def test_a_week_of_an_hourly_schedule_is_168_fires_each_done_once(mill: Mill) -> None:
    added(mill.schedules)
    assert mill.through(7 * DAY, step=10 * MINUTE) == 168
    assert mill.states() == ["done"] * 168


def test_a_fire_starts_when_its_time_comes_and_not_before(mill: Mill) -> None:
    added(mill.schedules)
    assert mill.at(HOUR - 1) == []
    (fire,) = mill.at(HOUR)
    assert (fire.fire_time, fire.state, fire.attempts) == (START + HOUR, "running", 1)
    assert mill.at(HOUR + 1) == []


def test_overlap_skip_lets_a_fire_go_while_an_earlier_one_runs(mill: Mill) -> None:
    added(mill.schedules)
    (first,) = mill.at(HOUR)
    assert mill.at(2 * HOUR) == []
    mill.end(first)
    assert len(mill.at(3 * HOUR)) == 1
    assert mill.states() == ["done", "skipped", "running"]
    assert mill.reasons()[1] == "an earlier fire still ran"


def test_overlap_buffer_keeps_one_fire_waiting(mill: Mill) -> None:
    added(mill.schedules, overlap="buffer")
    (first,) = mill.at(HOUR)
    assert mill.at(2 * HOUR) == mill.at(3 * HOUR) == []
    assert mill.states() == ["running", "due", "skipped"]
    mill.end(first)
    (second,) = mill.at(3 * HOUR + 1)
    assert second.fire_time == START + 2 * HOUR


def test_overlap_allow_runs_fires_side_by_side(mill: Mill) -> None:
    added(mill.schedules, overlap="allow")
    assert len(mill.at(HOUR) + mill.at(2 * HOUR)) == 2
    assert mill.states() == ["running", "running"]


@pytest.mark.parametrize(
    ("catch_up", "states", "ran"),
    [
        ("latest", ["missed"] * 4 + ["done"], 1),
        ("all", ["done"] * 5, 5),
        ("none", ["missed"] * 5, 0),
    ],
)
def test_after_a_night_without_a_scheduler_fires_are_caught_up_with_as_asked(
    mill: Mill, catch_up: str, states: list[str], ran: int
) -> None:
    added(mill.schedules, catch_up=catch_up)
    count = 0
    while started := mill.at(5 * HOUR + 10 * MINUTE):
        assert len(started) == 1
        mill.end(started[0])
        count += 1
    assert (mill.states(), count) == (states, ran)


def test_a_fire_that_is_a_little_late_is_not_missed(mill: Mill) -> None:
    added(mill.schedules, catch_up="none")
    assert len(mill.at(HOUR + 50)) == 1


def test_ten_days_of_minutes_are_caught_up_with_a_row_for_each(mill: Mill) -> None:
    added(mill.schedules, cron="* * * * *")
    (fire,) = mill.at(10 * DAY)
    states = Counter(fire.state for fire in mill.schedules.history("hourly", 30_000))
    assert states == {"missed": 10 * 1440 - 1, "running": 1}
    assert fire.fire_time == START + 10 * DAY


def test_a_clock_that_goes_back_fires_nothing_twice(mill: Mill) -> None:
    added(mill.schedules)
    (first,) = mill.at(2 * HOUR)
    mill.end(first)
    assert mill.at(HOUR - 30) == mill.at(HOUR) == mill.at(2 * HOUR) == []
    assert len(mill.at(3 * HOUR)) == 1


@given(st.lists(st.integers(-5 * HOUR, 5 * HOUR), max_size=20), st.sampled_from(["latest", "all"]))
@settings(max_examples=15, deadline=None)
def test_however_the_clock_jumps_each_hour_up_to_its_highest_has_one_row(
    tmp_path_factory: pytest.TempPathFactory, jumps: list[int], catch_up: str
) -> None:
    for mill in opened(tmp_path_factory.mktemp("jumps")):
        added(mill.schedules, catch_up=catch_up)
        time = highest = 0
        for jump in jumps:
            time += jump
            highest = max(highest, time)
            for fire in mill.at(time):
                mill.end(fire)
        times = [fire.fire_time - START for fire in mill.schedules.history("hourly", 1000)]
        assert times[::-1] == [h * HOUR for h in range(1, highest // HOUR + 1)]


def test_a_failure_is_tried_again_later_and_later_then_failed(mill: Mill) -> None:
    added(mill.schedules, retries=2, backoff=60.0)
    (fire,) = mill.at(HOUR)
    again = mill.end(fire, 1, error="no room")
    assert (again.state, again.not_before, again.reason) == ("due", mill.time + 60, "no room")
    assert mill.at(HOUR + 59) == []
    (fire,) = mill.at(HOUR + 60)
    assert mill.end(fire, 137).not_before == mill.time + 120
    (fire,) = mill.at(HOUR + 180)
    failed = mill.end(fire, None)
    assert (failed.state, failed.attempts) == ("failed", 3)
    assert failed.reason == "its process died without a word"


def test_while_a_fire_waits_for_its_next_try_later_ones_are_skipped(mill: Mill) -> None:
    added(mill.schedules, cron="*/30 * * * *", backoff=1.0 * HOUR)
    (fire,) = mill.at(30 * MINUTE)
    mill.end(fire, 1)
    assert mill.at(HOUR) == []
    assert mill.states() == ["due", "skipped"]


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        (0, "done", ""),
        (3, "done", "more rejects than allowed"),
        (2, "failed", "exit code 2"),
        (130, "cancelled", "interrupted"),
    ],
)
def test_an_exit_code_that_trying_again_does_not_change_ends_the_fire(
    mill: Mill, code: int, state: str, reason: str
) -> None:
    added(mill.schedules)
    (fire,) = mill.at(HOUR)
    ended = mill.end(fire, code, rows=7)
    assert (ended.state, ended.reason, ended.exit_code, ended.rows) == (state, reason, code, 7)


def test_a_tick_that_its_time_limit_ended_is_tried_again(mill: Mill) -> None:
    added(mill.schedules, time_limit=5400.0)
    (fire,) = mill.at(HOUR)
    again = mill.end(fire, 130, limited=True)
    assert (again.state, again.reason) == ("due", "stopped at its time limit of 1h30m")


def test_an_output_that_another_run_holds_is_an_overlap(mill: Mill) -> None:
    added(mill.schedules)
    added(mill.schedules, name="patient", overlap="buffer")
    busy = "another run is writing to out: run 1, process 2 on host."
    skipped, waiting = (mill.end(fire, 2, error=busy) for fire in mill.at(HOUR))
    assert (skipped.state, skipped.reason) == ("skipped", busy)
    assert (waiting.state, waiting.attempts) == ("due", 0)


def test_a_schedule_that_keeps_failing_is_paused_and_says_so(mill: Mill) -> None:
    added(mill.schedules, pause_after=2)
    for hour in (1, 2):
        (fire,) = mill.at(hour * HOUR)
        mill.end(fire, 2)
    assert mill.at(3 * HOUR) == []
    assert mill.states() == ["failed", "failed", "skipped"]
    assert mill.reasons()[-1] == "paused after 2 failures in a row"
    manage.resume(mill.schedules, "hourly", mill.time)
    assert len(mill.at(4 * HOUR)) == 1


def test_a_success_between_failures_counts_anew(mill: Mill) -> None:
    added(mill.schedules, pause_after=2)
    for hour, code in enumerate((2, 0, 2), start=1):
        (fire,) = mill.at(hour * HOUR)
        mill.end(fire, code)
    assert mill.schedules.get("hourly").paused == ""


def test_the_fires_of_a_pause_are_skipped_even_if_no_scheduler_ran(mill: Mill) -> None:
    added(mill.schedules)
    manage.pause(mill.schedules, "hourly", START)
    manage.resume(mill.schedules, "hourly", START + 3 * HOUR)
    assert mill.states() == ["skipped"] * 3
    assert len(mill.at(4 * HOUR)) == 1


def test_a_removed_schedule_leaves_its_history_and_fires_no_more(mill: Mill) -> None:
    added(mill.schedules, overlap="buffer")
    (running,) = mill.at(HOUR)
    mill.at(2 * HOUR)
    manage.remove(mill.schedules, "hourly", mill.time)
    assert mill.end(running).state == "done"
    assert mill.at(9 * HOUR) == []
    assert mill.states() == ["done", "cancelled"]
    added(mill.schedules)
    assert mill.states() == ["done", "cancelled"]


def test_a_trigger_runs_now_also_of_a_paused_schedule(mill: Mill) -> None:
    added(mill.schedules)
    manage.pause(mill.schedules, "hourly", START)
    for _ in range(2):
        manage.trigger(mill.schedules, "hourly", START + 7)
    (first,) = mill.at(7)
    mill.end(first)
    (second,) = mill.at(8)
    assert (first.fire_time, second.fire_time) == (START + 7, START + 8)


def test_a_backfill_runs_what_did_not_run_and_nothing_twice(mill: Mill) -> None:
    added(mill.schedules, catch_up="none")
    for fire in mill.at(HOUR):
        mill.end(fire)
    mill.at(3 * HOUR + 10 * MINUTE)
    assert mill.states() == ["done", "missed", "missed"]
    span = ("2026-03-01T22:00", "2026-03-02T03:00")
    assert manage.backfill(mill.schedules, "hourly", span, mill.time) == 5
    assert manage.backfill(mill.schedules, "hourly", span, mill.time) == 0
    while started := mill.at(3 * HOUR + 11 * MINUTE):
        mill.end(*started)
    assert mill.states() == ["done"] * 6


@given(st.floats(0, 3600), st.integers(0, 2**40))
@settings(max_examples=30, deadline=None)
def test_jitter_is_bounded_and_the_same_each_time(
    tmp_path_factory: pytest.TempPathFactory, bound: float, time: int
) -> None:
    from jobs.schedules.schedule import Schedule

    schedule = Schedule("a", "p.yaml", "/", "* * * * *", "UTC", jitter=bound)
    assert 0 <= jitter(schedule, time) <= bound
    assert jitter(schedule, time) == jitter(schedule, time)


def test_jitter_spreads_the_fires_of_many_schedules(mill: Mill) -> None:
    for number in range(20):
        added(mill.schedules, name=f"s{number}", jitter=600.0)
    at_once = len(mill.at(HOUR))
    assert at_once < 3
    assert at_once + len(mill.at(HOUR + 300)) in range(3, 18)
    assert len(mill.states("s0")) == 1


def test_several_schedulers_at_once_give_each_fire_one_row_and_one_start(tmp_path: Path) -> None:
    for mill in opened(tmp_path):
        for number in range(20):
            added(mill.schedules, name=f"s{number}", catch_up="all", overlap="allow")

    def started(_: int) -> int:
        schedules = Schedules(tmp_path / "schedules.db")
        try:
            return len(Mill(schedules).at(5 * HOUR))
        finally:
            schedules.close()

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(started, range(4)))
    assert sum(counts) == 100
    for mill in opened(tmp_path):
        assert advance(mill.schedules, START + 5 * HOUR)
        assert Counter(fire.schedule for fire in mill.schedules.history(None, 1000)) == {
            f"s{number}": 5 for number in range(20)
        }
