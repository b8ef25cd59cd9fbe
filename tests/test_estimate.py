"""What a run takes: the slowest pool sets the pace, or the cores do, and hours follow."""

from dataclasses import replace

import pytest

from jobs.planning.estimate import said, short
from pipelines.calibration import Cost
from pipelines.estimate import CPUS, PoolCost, estimate


def pool(
    label: str, seconds: float, actors: int = 1, gpus: float = 0.0, **other: float
) -> PoolCost:
    cost = Cost(seconds, (seconds,), 0.0, 0.0, 0, 0, 0.0, 1, 0, "cpu", 1)
    return PoolCost(label, replace(cost, **other), actors, 1.0, gpus)


def test_the_slowest_pool_is_the_bottleneck() -> None:
    found = estimate([pool("a", 4.0, actors=4), pool("b", 3.0, actors=2)], 16, 1000)
    assert (found.bottleneck, found.rate) == ("b", pytest.approx(2 / 3))
    assert found.more is not None
    assert found.more[0] == pytest.approx(1.0)


def test_a_run_takes_its_slowest_step_and_one_unit_through_the_others() -> None:
    found = estimate([pool("a", 1.0), pool("b", 0.5)], 16, 1000)
    # A unit is 30 s of the slowest step's work: 30 rows, which take 15 s at the other.
    assert found.seconds == pytest.approx(1000 + 15)


def test_a_short_run_is_one_unit_that_goes_from_step_to_step() -> None:
    assert estimate([pool("a", 1.0), pool("b", 0.5)], 16, 10).seconds == pytest.approx(15)


def test_pools_that_share_cores_do_no_more_than_the_cores() -> None:
    found = estimate([pool("a", 1.0, cpu=1.0), pool("b", 0.9, cpu=0.9)], 1, 1000)
    assert (found.bottleneck, found.more) == (CPUS, None)
    assert found.seconds == pytest.approx(1900)


def test_loading_counts_and_shares_the_cores() -> None:
    found = estimate([pool("a", 1.0, actors=8, load=5.0)], 4, 8)
    assert found.seconds == pytest.approx(10 + 1)


def test_hours_are_those_that_pools_hold_and_those_at_work() -> None:
    found = estimate([pool("a", 3.6, gpus=0.5), pool("b", 0.36)], 16, 1000)
    assert found.held == pytest.approx((2000, 500))
    assert found.busy == pytest.approx((1100, 500))


def test_the_range_is_that_of_the_lots() -> None:
    found = estimate([pool("a", 1.0, lots=(0.5, 1.0, 1.5))], 16, 1000)
    assert (found.low, found.seconds, found.high) == pytest.approx((500, 1000, 1500))


def test_nothing_to_do_takes_no_time() -> None:
    assert estimate([pool("a", 1.0, load=9.0)], 16, 0).seconds == 0


def test_stages_that_no_row_reached_cost_nothing() -> None:
    found = estimate([pool("a", 1.0), pool("b", 0.0)], 16, 100)
    assert (found.bottleneck, found.seconds) == ("a", 100)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(42.4, "42 s"), (720, "12 min"), (19_200, "5 h 20 min"), (273_600, "3 d 4 h")],
)
def test_times_are_said_as_people_do(seconds: float, words: str) -> None:
    assert said(seconds) == words


def test_numbers_have_three_digits() -> None:
    assert [short(n) for n in (0.05754, 4.533, 9240.1)] == ["0.0575", "4.53", "9,240"]
