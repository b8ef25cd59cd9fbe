"""Requests that wait together are one unit, and each gets its own rows back."""

import asyncio
from typing import Any

import pyarrow as pa
import pytest

from pipelines.serving.together import Together


def table(*values: int) -> pa.Table:
    return pa.table({"n": pa.array(values, pa.int64())})


class Slow:
    """Doubles numbers, and notes how many came at once; a negative one fails the unit."""

    def __init__(self) -> None:
        self.units: list[int] = []

    async def __call__(self, rows: pa.Table) -> pa.Table:
        self.units.append(rows.num_rows)
        await asyncio.sleep(0.02)
        values = rows["n"].to_pylist()
        if min(values) < 0:
            raise ValueError("a bad unit")
        return table(*(2 * value for value in values))


def ask(most: int, *asked: pa.Table) -> tuple[list[Any], list[int]]:
    """What each of the tables, asked at once, gets; and the units that were made of them."""

    async def all_of_them() -> list[Any]:
        together = Together(slow, most)
        return await asyncio.gather(*map(together.answer, asked), return_exceptions=True)

    slow = Slow()
    return asyncio.run(all_of_them()), slow.units


def test_the_rows_of_each_request_come_back_to_it() -> None:
    answers, units = ask(10, table(1), table(2, 3), table(4), table(5, 6, 7))
    assert answers == [table(2), table(4, 6), table(8), table(10, 12, 14)]
    assert units == [7]


def test_a_unit_has_no_more_rows_than_it_may_but_for_one_request_that_has() -> None:
    answers, units = ask(3, table(1), table(2, 3), table(4), table(5, 6, 7, 8), table(9))
    assert units == [3, 1, 4, 1]
    assert answers[3] == table(10, 12, 14, 16)


def test_a_unit_that_fails_fails_its_requests_and_no_other() -> None:
    answers, _ = ask(2, table(1), table(-1), table(3))
    assert [isinstance(answer, ValueError) for answer in answers] == [True, True, False]


def test_an_idle_stage_answers_at_once_and_what_comes_meanwhile_goes_together() -> None:
    async def later() -> list[Any]:
        together = Together(slow, 10)
        first = asyncio.create_task(together.answer(table(1)))
        await asyncio.sleep(0.005)
        rest = [asyncio.create_task(together.answer(table(n))) for n in (2, 3, 4)]
        return [await task for task in (first, *rest)]

    slow = Slow()
    assert asyncio.run(later()) == [table(2), table(4), table(6), table(8)]
    assert slow.units == [1, 3]


def test_who_went_away_is_not_answered() -> None:
    async def leaving() -> pa.Table:
        together = Together(slow, 10)
        first = asyncio.create_task(together.answer(table(1)))
        await asyncio.sleep(0.005)
        gone = asyncio.create_task(together.answer(table(2)))
        last = asyncio.create_task(together.answer(table(3)))
        await asyncio.sleep(0)
        gone.cancel()
        await first
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await last

    slow = Slow()
    assert asyncio.run(leaving()) == table(6)
    assert slow.units == [1, 1]
