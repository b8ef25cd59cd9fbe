"""Cron expressions: refused when wrong, and every time of a year found, by counting."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import UsageError
from jobs.schedules import cron

ZONES = (
    "UTC",
    "Asia/Seoul",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Africa/Cairo",
)
"""Two without clock changes, two with those of an hour, one of half an hour, one at midnight."""

QUARTER = timedelta(minutes=15)
"""All times that are counted below are whole quarters of an hour."""


def stamp(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def numbers(field: str, low: int, high: int) -> set[int]:
    """The values of a field that is *, */n, or a list of numbers."""
    if field.startswith("*"):
        return set(range(low, high + 1, int(field.partition("/")[2] or 1)))
    return {int(word) for word in field.split(",")}


def matcher(expression: str) -> Callable[[datetime], bool]:
    minute, hour, _, _, weekday = expression.split()
    minutes, hours = numbers(minute, 0, 59), numbers(hour, 0, 23)
    days = numbers(weekday, 0, 6)
    return lambda t: t.minute in minutes and t.hour in hours and t.isoweekday() % 7 in days


def every_quarter(start: datetime, stop: datetime) -> Iterator[datetime]:
    while start < stop:
        yield start
        start += QUARTER


def exists(naive: datetime, zone: tzinfo) -> bool:
    there = naive.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
    return there.replace(tzinfo=None) == naive


def counted(expression: str, zone: tzinfo, year: int) -> list[int]:
    """The fires of a year: each quarter of the wall clock, or of elapsed time, is looked at."""
    matches = matcher(expression)
    start, stop = datetime(year, 1, 1), datetime(year + 1, 1, 1)
    if expression.split()[0].startswith("*") or expression.split()[1].startswith("*"):
        first = start.replace(tzinfo=zone).astimezone(UTC)
        last = stop.replace(tzinfo=zone).astimezone(UTC)
        quarters = every_quarter(first, last)
        return [int(q.timestamp()) for q in quarters if matches(q.astimezone(zone))]
    found = set()
    for naive in every_quarter(start, stop):
        if matches(naive):
            while not exists(naive, zone):
                naive += QUARTER
            found.add(int(naive.replace(tzinfo=zone).timestamp()))
    return sorted(found)


def enumerated(expression: str, zone: tzinfo, year: int) -> list[int]:
    start = datetime(year, 1, 1, tzinfo=zone).timestamp()
    stop = datetime(year + 1, 1, 1, tzinfo=zone).timestamp()
    return list(takewhile(lambda t: t < stop, cron.fires(expression, zone, start - 1)))


YEARS = [
    (expression, zone)
    for expression in ("30 2 * * *", "0,30 0-3 * * 0", "*/30 */5 * * *")
    for zone in ZONES
    if (expression, zone) != ("*/30 */5 * * *", "Australia/Lord_Howe")
]
"""Where clocks change by half an hour, cronsim loses a repeated fire on such a day."""


@pytest.mark.parametrize(("expression", "zone"), YEARS)
def test_the_fires_of_a_year_are_those_that_counting_finds(expression: str, zone: str) -> None:
    written = expression.replace("0-3", "0,1,2,3")
    expected = counted(written, cron.zone(zone), 2026)
    assert enumerated(expression, cron.zone(zone), 2026) == expected
    assert len(expected) > 50


@given(
    st.sampled_from(["30 2 * * *", "*/20 * * * *", "15 1,2,3 * * *", "0 */5 * * *"]),
    st.sampled_from(ZONES),
    st.integers(int(stamp("2026-01-01")), int(stamp("2027-12-01"))),
)
@settings(max_examples=50, deadline=None)
def test_wherever_one_begins_the_fires_that_follow_are_the_same(
    expression: str, zone: str, after: int
) -> None:
    where = cron.zone(zone)
    stop = after + 3 * 86400
    whole = cron.fires(expression, where, after - 7 * 86400)
    expected = [t for t in takewhile(lambda t: t < stop, whole) if t > after]
    assert list(takewhile(lambda t: t < stop, cron.fires(expression, where, after))) == expected


def times(expression: str, zone: str, day: str, days: int = 1) -> list[str]:
    start = stamp(day, zone)
    found = takewhile(
        lambda t: t < start + days * 86400, cron.fires(expression, cron.zone(zone), start - 1)
    )
    return [datetime.fromtimestamp(t, ZoneInfo(zone)).isoformat() for t in found]


def test_half_past_two_fires_once_on_both_days_on_which_clocks_change() -> None:
    spring = times("30 2 * * *", "Europe/Berlin", "2026-03-29")
    autumn = times("30 2 * * *", "Europe/Berlin", "2026-10-25")
    assert spring == ["2026-03-29T03:00:00+02:00"]
    assert autumn == ["2026-10-25T02:30:00+02:00"]


def test_what_repeats_follows_elapsed_time_when_clocks_change() -> None:
    assert len(times("0 * * * *", "Europe/Berlin", "2026-03-29", 2)) == 48
    assert len(times("0 * * * *", "Europe/Berlin", "2026-10-25", 2)) == 48
    assert len(times("*/15 2 * * *", "Europe/Berlin", "2026-10-25")) == 8


@pytest.mark.parametrize(
    ("word", "plain"), [("@daily", "0 0 * * *"), (" 0  2 * * MON ", "0 2 * * MON")]
)
def test_an_expression_is_kept_in_five_fields(word: str, plain: str) -> None:
    assert cron.check(word) == plain


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("0 0 30 2 *", "this never fires"),
        ("0 0 31 2,4 *", "this never fires"),
        ("0 0 30 2 */8", "this never fires"),
        ("61 * * * *", "the minute is '61'.\n  it should be 0-59;"),
        ("0 25 * * *", "the hour is '25'"),
        ("0 0 32 * *", "the day of the month is '32'"),
        ("0 0 * 13 *", "the month is '13'"),
        ("0 0 * * MUN", "the day of the week is 'MUN'"),
        ("0 0 * *", "4 fields; a cron expression has five"),
        ("0 0 0 * * *", "6 fields"),
        ("", "0 fields"),
        ("@dayly", "there is no such word (did you mean '@daily'?)"),
        ("@reboot", "there is no such word"),
    ],
)
def test_a_wrong_expression_is_refused_with_what_is_wrong(expression: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        cron.check(expression)
    assert str(refused.value).startswith(f"--cron '{expression}': {said}")


@pytest.mark.parametrize("name", ["Seoul", "asia/seoul", "Asia/Soul"])
def test_a_wrong_time_zone_is_refused_with_the_nearest(name: str) -> None:
    with pytest.raises(UsageError, match=r"no such time zone \(did you mean 'Asia/Seoul'\?\)"):
        cron.zone(name)


@pytest.mark.parametrize("name", ["", "America", "../etc/passwd", "/etc/localtime", "Mars/Base"])
def test_no_name_of_a_time_zone_is_one_by_accident(name: str) -> None:
    with pytest.raises(UsageError, match="there is no such time zone"):
        cron.zone(name)
