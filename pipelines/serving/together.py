"""Requests that wait together are answered together.

Serve's own `batch` cuts batches by the clock: each waits its time out, also when nothing else is
there, and those that are cut while one is worked on do not join. Here nobody waits for company:
an idle stage answers at once, and whatever came meanwhile is its next unit.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pyarrow as pa

Answer = Callable[[pa.Table], Awaitable[pa.Table]]
"""Answers a table with as many rows, in order."""


class Together:
    """Joins waiting tables into one of at most `most` rows (a larger one goes alone), one at a
    time, and gives each caller its own rows back."""

    def __init__(self, answer: Answer, most: int) -> None:
        self._answer = answer
        self._most = most
        self._waiting: deque[tuple[pa.Table, asyncio.Future[pa.Table]]] = deque()
        self._busy: asyncio.Task[None] | None = None

    async def answer(self, table: pa.Table) -> pa.Table:
        """Answer a table's rows. Raises what answering them raised."""
        future: asyncio.Future[pa.Table] = asyncio.get_running_loop().create_future()
        self._waiting.append((table, future))
        if self._busy is None or self._busy.done():
            self._busy = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while batch := self._next():
            joined = pa.concat_tables([table for table, _ in batch])
            done: Any
            (done,) = await asyncio.gather(self._answer(joined), return_exceptions=True)
            if isinstance(done, BaseException):
                _fail([future for _, future in batch], done)
            else:
                _give(batch, done)

    def _next(self) -> list[tuple[pa.Table, "asyncio.Future[pa.Table]"]]:
        """What fits together from the front; callers that went away are passed over."""
        batch: list[tuple[pa.Table, asyncio.Future[pa.Table]]] = []
        room = self._most
        while self._waiting and (not batch or self._waiting[0][0].num_rows <= room):
            table, future = self._waiting.popleft()
            if not future.done():
                batch.append((table, future))
                room -= table.num_rows
        return batch


def _give(batch: list[tuple[pa.Table, "asyncio.Future[pa.Table]"]], answered: pa.Table) -> None:
    """Cut the answer where the tables were joined."""
    start = 0
    for table, future in batch:
        if not future.done():
            future.set_result(answered.slice(start, table.num_rows))
        start += table.num_rows


def _fail(futures: list["asyncio.Future[pa.Table]"], error: BaseException) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
