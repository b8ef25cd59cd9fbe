"""Calls that may fail: what fails is split until the one bad row stands alone."""

import gc
import sys
from collections.abc import Callable, Sequence
from typing import Any

from actors.batching import Cut
from actors.errors import DeviceBroken, GristmillError, RowRejected, StageFailed

BROKEN_DEVICE = (
    "CUDA error",
    "CUBLAS_STATUS",
    "CUDNN_STATUS",
    "CUSOLVER_STATUS",
    "HIP error",
    "NCCL",
)
"""How torch and its libraries begin the messages of a device that needs a fresh process."""

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""What torch's allocators say on GPU and CPU."""

MESSAGE_LENGTH = 500
"""Characters kept of an error's first line: some libraries print whole tensors."""


class TooLarge(RowRejected):
    """Did not fit in memory, so far."""


class Watch:
    """Hears which rows are being worked on, from any thread; the supervisor's child listens."""

    def start(self, rows: Sequence[int]) -> int:
        """Work on these rows begins; return a ticket for `end`."""
        return 0

    def end(self, ticket: int) -> None:
        """The work of that ticket is over."""


class Guard:
    """Runs a stage's calls and turns their failures into reasons, row by row."""

    def __init__(self, name: str, watch: Watch) -> None:
        self._name = name
        self._watch = watch

    def call(
        self,
        work: Callable[[list[Any]], list[Any]],
        units: Sequence[Any],
        value: Callable[[Any], Any],
        row: Callable[[Any], int],
        cut: Cut | None = None,
    ) -> list[Any]:
        """Work on `value(u)` of all units; on failure on each half, until a row stands alone.

        Returns one result, or one RowRejected, per unit. Units of one row are rejected together.
        What does not fit in memory halves `cut`, and comes back TooLarge when it stands alone.
        """
        result = self._attempt(work, [value(u) for u in units], [row(u) for u in units])
        if not isinstance(result, RowRejected):
            return result
        too_large = isinstance(result, TooLarge) and len(units) > 1
        if too_large and cut is not None:
            cut.halve(units)
        elif len({row(u) for u in units}) == 1:
            return [result] * len(units)
        halves = _middle(units) if too_large else _between_rows(units, row)
        return [r for half in halves for r in self.call(work, half, value, row, cut)]

    def _attempt(
        self, work: Callable[[list[Any]], list[Any]], values: list[Any], rows: list[int]
    ) -> list[Any] | RowRejected:
        """Call; turn a failure into a reason. The one broad except of the code base.

        Work that ends the process in any other way (sys.exit, a signal) is never said to be over.
        """
        ticket = self._watch.start(rows)
        try:
            results = work(values)
        except RowRejected as rejected:
            self._watch.end(ticket)
            return rejected
        except GristmillError:
            raise
        except Exception as error:  # noqa: BLE001 - a row may make any library raise anything
            self._watch.end(ticket)
            return self._reason(error)
        self._watch.end(ticket)
        if len(results) != len(values):
            raise StageFailed(
                f"{self._name} answered {len(results)} of {len(values)}: a bug in the stage"
            )
        return results

    def _reason(self, error: Exception) -> RowRejected:
        """A row's reason for an unforeseen error; a device's error is raised instead."""
        text = f"{type(error).__name__}: {error}".strip().split("\n")[0][:MESSAGE_LENGTH]
        memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
        if memory or any(sign in str(error) for sign in OUT_OF_MEMORY):
            _free_memory()
            return TooLarge("out_of_memory", text)
        if any(sign in str(error) for sign in BROKEN_DEVICE):
            raise DeviceBroken(f"the device of {self._name} failed: {text}") from error
        return RowRejected("stage_error", text)


def _middle(units: Sequence[Any]) -> list[Sequence[Any]]:
    middle = len(units) // 2
    return [units[:middle], units[middle:]]


def _between_rows(units: Sequence[Any], row: Callable[[Any], int]) -> list[Sequence[Any]]:
    """Cut in two so that no row's units are parted."""
    rows = list(dict.fromkeys(row(u) for u in units))
    first = set(rows[: len(rows) // 2])
    return [[u for u in units if row(u) in first], [u for u in units if row(u) not in first]]


def _free_memory() -> None:
    """Give cached device memory back, if torch is loaded at all."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
