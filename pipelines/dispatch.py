"""Deals units out: how large, how many at once, and what came of them."""

import copy
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pyarrow as pa

from actors.errors import GristmillError, SourceDrifted, SourceFailed, UsageError
from actors.worker import Report
from pipelines.flow import Committed, Ticket
from pipelines.sources import AnySource
from pipelines.units import Cutter, Extent, Interval, Piece, SourceFile, Unit, pieces

UNIT_SECONDS = 30.0
"""Work in a unit at its slowest stage: what a crash may cost, and far more than a unit's overhead
of about 0.1 s."""

UNIT_BYTES = 64 * 2**20
"""Most source bytes in a unit: some units are in flight for each actor, so this bounds memory."""

UNIT_ROWS = 16_384
"""Most rows in a unit: a row costs about 2 KB as Python objects, and sorting more than some
thousand rows by length gains nothing more."""

FIRST_ROWS = 4
"""Rows of the first units, before anything is measured: 20 s of pages to read on one CPU."""

LAST_SECONDS = 2.0
"""Least work in a unit when the last rows are shared out: still far more than its overhead."""

GROWTH = 16
"""How much larger a unit may be than any before it, so that one lucky measure costs little."""

OPENED_AHEAD = 16
"""Source files opened at once: hides the latency of object stores."""

DEAL_SECONDS = 1.0
"""Longest wait in one call of deal: the call of a process that died ends too, so that such calls
cannot fill the dispatcher's threads."""


COMMITTED = Ticket(Unit(()), "")
"""Stands for tickets that are done, so that they need not be kept: dealt again, it does nothing."""


@dataclass(frozen=True, slots=True)
class Dealt:
    """What deal answers: a ticket, or None when all is dealt out; or, with `later`, that there is
    no room yet and the caller asks again."""

    ticket: Ticket | None = None
    later: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done: files with the rows that are answered already, and retries.

    `bytes` is about what the files' rows that are left weigh in the source.
    """

    files: tuple[SourceFile, ...]
    bytes: int = 0
    answered: Mapping[str, list[Interval]] = field(default_factory=dict)
    retries: tuple[Ticket, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a unit was answered: the machine and the actor, as Ray names them."""

    node: str
    actor: str


HERE = Place("", "")
"""Where there are no machines to tell apart."""


@dataclass(slots=True)
class StepStatus:
    """One step so far: `ready` when one of its actors has its model, `seconds` is the sum over its
    actors, `nodes` counts units by machine."""

    ready: bool = False
    rows: int = 0
    rejected: int = 0
    seconds: float = 0.0
    report: Report = field(default_factory=Report)
    nodes: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Status:
    """A run so far.

    `units` are committed, `under_way` dealt out but not committed; `retried` counts committed rows
    that were rejects before. `bytes` of `total_bytes` source bytes are committed; `busy` sums the
    seconds that units spent in each box of the graph. Files that are `left_out` are named with the
    reason; those that `drifted` are among them.
    """

    units: int = 0
    under_way: int = 0
    rows: int = 0
    rejected: int = 0
    retried: int = 0
    bytes: int = 0
    total_bytes: int = 0
    steps: dict[str, StepStatus] = field(default_factory=dict)
    busy: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    drifted: list[str] = field(default_factory=list)


class Dispatcher:
    """Hands out tickets, while not too many units are under way. Thread-safe.

    `columns` are what the run reads of the source; files without them are left out.
    `pools` is the number of actors per step label that the run starts with, and more are counted
    when they have done something; `seconds_per_row` what is known of each step's
    speed from earlier runs; `limit` rows end the dealing, with at most one unit of retries beyond.
    """

    def __init__(
        self,
        source: AnySource,
        columns: pa.Schema,
        work: Work,
        pools: Mapping[str, int],
        seconds_per_row: Mapping[str, float],
        limit: int | None = None,
    ) -> None:
        self._columns = columns
        self._room = threading.Condition()
        self._pools = dict(pools)
        self._actors: dict[str, set[str]] = {label: set() for label in pools}
        self._speed = dict(seconds_per_row)
        self._left = limit
        self._files = len(work.files)
        self._largest = self._cut_rows = self._cut_bytes = 0
        self._dealt: dict[int, Ticket | None] = {}
        self._under_way: dict[str, tuple[int, Ticket]] = {}
        self._failure: GristmillError | None = None
        self._status = Status(total_bytes=work.bytes)
        self._status.steps = {label: StepStatus() for label in pools}
        self._retries = deque(work.retries)
        self._cutter = Cutter(self._pieces(source, work), UNIT_BYTES)

    def deal(self, number: int) -> Dealt:
        """The ticket of that number, the same each time, to however many callers at once."""
        with self._room:
            ready = self._room.wait_for(lambda: self._may_deal(number), DEAL_SECONDS)
            if not ready:
                return Dealt(later=True)
            if number not in self._dealt:
                self._dealt[number] = self._next(number)
            return Dealt(self._dealt[number])

    def step_ready(self, label: str) -> None:
        """An actor of a step has its model."""
        with self._room:
            self._status.steps[label].ready = True

    def step_done(self, label: str, report: Report, place: Place = HERE) -> None:
        """A unit went through a step."""
        with self._room:
            step = self._status.steps[label]
            step.nodes[place.node] = step.nodes.get(place.node, 0) + 1
            self._actors[label].add(place.actor)
            self._pools[label] = max(self._pools[label], len(self._actors[label]))
            step.rows += report.rows
            step.rejected += report.rejected
            step.seconds += report.wall
            step.report.add(report)
            if step.rows:
                self._speed[label] = step.report.wall / step.rows

    def committed(self, done: Committed) -> None:
        """A unit is in place; committing it twice counts once."""
        with self._room:
            number, ticket = self._under_way.pop(done.part, (None, None))
            self._status.left_out.update(done.left_out)
            if number is not None and ticket is not None:
                self._dealt[number] = COMMITTED
                self._count(done, ticket)
            self._room.notify_all()

    def _count(self, done: Committed, ticket: Ticket) -> None:
        status = self._status
        status.units += 1
        status.rows += done.rows
        status.rejected += done.rejected
        status.retried += done.rows + done.rejected if ticket.generation else 0
        status.bytes += 0 if ticket.generation else _source_bytes(ticket.unit)
        for box, took in done.took.items():
            status.busy[box] = status.busy.get(box, 0.0) + took.stop - took.start

    def failed(self, error: GristmillError) -> None:
        """Work ended with an error of ours; the first one counts."""
        with self._room:
            self._failure = self._failure or error

    def failure(self) -> GristmillError | None:
        """The first error of ours that work ended with."""
        return self._failure

    def status(self, whole: bool = True) -> Status:
        """How far the run is; unless `whole`, without the files that were left out.

        These may be many, and a run's progress is asked for twice a second.
        """
        with self._room:
            self._status.under_way = len(self._under_way)
            left_out = self._status.left_out if whole else {}
            return copy.deepcopy(replace(self._status, left_out=left_out))

    def _may_deal(self, number: int) -> bool:
        return number in self._dealt or len(self._under_way) < self._window()

    def _window(self) -> int:
        """One unit in each actor, one waiting before it, and two being read or committed."""
        return 2 * sum(self._pools.values()) + 2

    def _next(self, number: int) -> Ticket | None:
        if self._left is not None and self._left <= 0:
            return None
        ticket = self._retries.popleft() if self._retries else self._cut()
        if ticket is not None:
            self._under_way[ticket.part] = (number, ticket)
            self._left = None if self._left is None else self._left - ticket.unit.rows
        return ticket

    def _cut(self) -> Ticket | None:
        rows = self._unit_rows()
        if self._left is not None:
            rows = min(rows, self._left)
        unit = self._cutter.next(rows)
        if unit is None:
            return None
        self._largest = max(self._largest, unit.rows)
        self._cut_rows += unit.rows
        self._cut_bytes += _source_bytes(unit)
        return Ticket(unit, unit.id)

    def _unit_rows(self) -> int:
        """Rows for about UNIT_SECONDS at the slowest step, and no more than its actors' share."""
        slowest = max(self._speed, key=self._speed.__getitem__, default=None)
        if slowest is None or not self._speed[slowest]:
            return FIRST_ROWS
        second, actors = 1 / self._speed[slowest], self._pools[slowest]
        by_growth = max(FIRST_ROWS, self._largest) * GROWTH
        most = min(int(UNIT_SECONDS * second), by_growth, UNIT_ROWS)
        if actors > 1:
            # Each actor should get two units of what is left, or the last one works alone for long.
            share = max(self._rows_left() // (2 * actors), int(LAST_SECONDS * second), FIRST_ROWS)
            most = min(most, share)
        return max(1, most)

    def _rows_left(self) -> int:
        """About how many rows are still to be dealt out."""
        if not self._cut_rows:
            return self._files
        left = self._status.total_bytes - self._cut_bytes
        return left * self._cut_rows // max(self._cut_bytes, 1)

    def _pieces(self, source: AnySource, work: Work) -> Iterator[Piece]:
        for extent in self._extents(source, work.files):
            yield from pieces(extent, work.answered.get(extent.file.name, ()))

    def _extents(self, source: AnySource, files: Iterable[SourceFile]) -> Iterator[Extent]:
        """Open files a little ahead, in order; note those that cannot be opened."""
        waiting: deque[tuple[SourceFile, Future[Extent]]] = deque()
        with ThreadPoolExecutor(OPENED_AHEAD) as pool:
            for file in files:
                waiting.append((file, pool.submit(source.opens, file, self._columns)))
                if len(waiting) > OPENED_AHEAD:
                    yield from self._opened(*waiting.popleft())
            while waiting:
                yield from self._opened(*waiting.popleft())

    def _opened(self, file: SourceFile, opening: Future[Extent]) -> Iterator[Extent]:
        try:
            yield opening.result()
        except (SourceFailed, UsageError) as error:
            self._status.left_out[file.name] = str(error)
            if isinstance(error, SourceDrifted):
                self._status.drifted.append(file.name)


def _source_bytes(unit: Unit) -> int:
    """About what a unit's rows weigh in the source, where they may be compressed."""
    return sum(span.file.size * span.rows // max(span.of, 1) for span in unit.spans)
