"""Preparation in threads, ahead of the device, bounded by what the prepared items weigh."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from time import perf_counter
from typing import Any, Generic, TypeVar

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")


def weight(value: Any) -> int:
    """Bytes of the arrays, tensors and buffers inside a prepared value; 64 for anything else."""
    size = getattr(value, "nbytes", None)
    if isinstance(size, int):
        return size
    if isinstance(value, (bytes, str)):
        return len(value)
    if isinstance(value, dict):
        return sum(weight(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        # A list of numbers weighs what its pointers weigh; looking at each would cost more.
        if value and isinstance(value[0], (int, float)):
            return 8 * len(value)
        return sum(weight(v) for v in value)
    return 64


class Ahead(Generic[Chunk, Result]):
    """Applies `work` to chunks in `threads` threads and yields the results as they come.

    `work` returns a result and its weight in bytes. No chunk is begun while finished results that
    nobody took weigh `limit` bytes or more. `waited` is the time in seconds that the consumer
    stood still.
    """

    def __init__(
        self,
        chunks: Sequence[Chunk],
        work: Callable[[Chunk], tuple[Result, int]],
        threads: int,
        limit: int,
    ) -> None:
        self.waited = 0.0
        self._work = work
        self._limit = limit
        self._held = 0
        self._stopped = False
        self._room = threading.Condition()
        self._done: SimpleQueue[Future[tuple[Result, int] | None]] = SimpleQueue()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="prepare")
        self._count = len(chunks)
        for chunk in chunks:
            self._pool.submit(self._one, chunk).add_done_callback(self._done.put)

    def __iter__(self) -> Iterator[tuple[Result, int]]:
        """Yield (result, weight) in the order of completion; raises what `work` raised."""
        try:
            for _ in range(self._count):
                yield self._take()
        finally:
            self._stop()

    def _take(self) -> tuple[Result, int]:
        start = perf_counter()
        done = self._done.get().result()
        self.waited += perf_counter() - start
        assert done is not None, "a chunk is only dropped after _stop"
        with self._room:
            self._held -= done[1]
            self._room.notify_all()
        return done

    def _one(self, chunk: Chunk) -> tuple[Result, int] | None:
        with self._room:
            self._room.wait_for(lambda: self._stopped or self._held < self._limit)
            if self._stopped:
                return None
        done = self._work(chunk)
        with self._room:
            self._held += done[1]
        return done

    def _stop(self) -> None:
        with self._room:
            self._stopped = True
            self._room.notify_all()
        self._pool.shutdown(wait=True, cancel_futures=True)
