"""The worker: takes rows through a loaded model and answers each of them exactly once.

It prepares in threads ahead of the device, sorts by cost, cuts micro-batches by a budget, puts
answers back in order, halves what does not fit in memory, and splits what fails until the one bad
row stands alone. What kills or hangs the process is the supervisor's matter (`supervisor.py`).
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from time import perf_counter, process_time, thread_time
from typing import Any

import pyarrow as pa

from actors.ahead import Ahead, weight
from actors.batching import Cut, Part, sort_parts
from actors.errors import DeviceBroken, RowRejected, StageFailed
from actors.guard import Guard, TooLarge, Watch
from actors.stage import Device, Item, ModelFiles, Pass, Row, Stage
from actors.typed import Answer, rows_of, typed_columns

WINDOW_BYTES = 256 * 2**20
"""Prepared items held at once: 64 float32 images of 1024 x 1024 x 1, small beside any model."""


NEVER_FITTED = 16
"""Rows that do not fit in memory before any did: beyond this the stage is at fault, not a row."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds on a micro-batch that the pipeline file sets; None leaves the task's own."""

    rows: int | None = None
    budget: int | None = None


PEAKS = ("memory", "device_memory")
"""Figures of a report that are the most so far, not sums."""


@dataclass(slots=True)
class Report:
    """What answering some rows took: seconds by step, micro-batches, and mishaps; and the most
    memory that the process, and torch on the device, ever held, in bytes."""

    rows: int = 0
    rejected: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    prepare: float = 0.0
    wait: float = 0.0
    infer: float = 0.0
    infer_cpu: float = 0.0
    finish: float = 0.0
    load: float = 0.0
    batches: int = 0
    items: int = 0
    halvings: int = 0
    restarts: int = 0
    memory: int = 0
    device_memory: int = 0

    def add(self, other: "Report") -> None:
        """Add another report's figures to these."""
        for name, value in asdict(other).items():
            mine = getattr(self, name)
            setattr(self, name, max(mine, value) if name in PEAKS else mine + value)


@dataclass(slots=True)
class _Live:
    """A row on its way: its position, its values, the parts it was cut into."""

    index: int
    row: Row
    items: list[Item] = field(default_factory=list)


class Worker:
    """One stage with its model loaded, in this process.

    Errors: StageFailed when the model does not load, DeviceBroken when the device fails. A row's
    own failure is an answer, never an exception.
    """

    def __init__(
        self,
        stage: Stage,
        files: ModelFiles,
        device: Device | None = None,
        limits: Limits | None = None,
        watch: Watch | None = None,
    ) -> None:
        device, limits = device or Device(), limits or Limits()
        start = perf_counter()
        self.stage = stage
        self._threads = max(1, device.threads)
        self._guard = Guard(self._name, watch or Watch())
        self._report = Report()
        self._known_good: dict[int, Item] = {}
        self._never_fitted = 0
        self._model = stage.load(files, device)
        self._cuts = [Cut(p.batching, limits.rows, limits.budget) for p in self._model.passes]
        self.load_seconds = perf_counter() - start

    def answer(self, rows: Sequence[Answer]) -> list[Answer]:
        """Answer each row with the columns the stage writes, or with the reason it cannot."""
        answers: dict[int, Answer] = {}
        for indices, part in self.answer_windows(rows, range(len(rows)), frozenset()):
            answers.update(zip(indices, part, strict=True))
        return [answers[i] for i in range(len(rows))]

    def answer_table(self, table: pa.Table) -> tuple[pa.Table, list[Answer], Report]:
        """Answer a table of the stage's inputs: the written columns, typed, in the same order."""
        answers = self.answer(rows_of(table))
        columns, answers = typed_columns(answers, self.stage.writes)
        return columns, answers, self.take_report()

    def take_report(self) -> Report:
        """What happened since the last call."""
        report, self._report = self._report, Report()
        report.halvings = sum(cut.take_halvings() for cut in self._cuts)
        return report

    def answer_windows(
        self, rows: Sequence[Answer], indices: Sequence[int], alone: frozenset[int]
    ) -> Iterator[tuple[list[int], list[Answer]]]:
        """Answer `rows[i] for i in indices`, yielding (indices, answers) as windows get done.

        A row that is a reason already, because it cannot be read, is answered with that reason.
        Rows in `alone` come last, with nothing else at work: one of them killed a process before.
        """
        live = [_Live(i, row) for i in indices if not isinstance(row := rows[i], RowRejected)]
        unread = {i: row for i in indices if isinstance(row := rows[i], RowRejected)}
        if unread:
            yield list(unread), list(unread.values())
        groups = [[row for row in live if row.index not in alone]]
        groups += [[row] for row in live if row.index in alone]
        wall, cpu = perf_counter(), process_time()
        for window, rejected in (w for group in groups for w in self._windows(group)):
            answers: dict[int, Answer] = {**rejected, **self._run(window)}
            self._report.rows += len(answers)
            self._report.rejected += sum(isinstance(a, RowRejected) for a in answers.values())
            self._report.wall += perf_counter() - wall
            self._report.cpu += process_time() - cpu
            wall, cpu = perf_counter(), process_time()
            yield list(answers), list(answers.values())
            wall = perf_counter()

    # windows of prepared rows ------------------------------------------------------------------

    def _windows(
        self, live: Sequence[_Live]
    ) -> Iterator[tuple[list[_Live], dict[int, RowRejected]]]:
        """Prepare for the first pass, ahead; yield as many rows as weigh WINDOW_BYTES, or as its
        batching wants."""
        first = self._model.passes[0]
        most = first.batching.window or sys.maxsize
        ahead = Ahead(
            self._chunks(live),
            lambda chunk: self._prepare(first, chunk),
            self._threads,
            WINDOW_BYTES,
        )
        window: list[_Live] = []
        rejected: dict[int, RowRejected] = {}
        held = items = 0
        for (ready, bad), size in ahead:
            window += ready
            rejected |= bad
            held += size
            items += sum(len(row.items) for row in ready)
            if held >= WINDOW_BYTES or items >= most:
                yield window, rejected
                window, rejected, held, items = [], {}, 0, 0
        self._report.wait += ahead.waited
        if window or rejected:
            yield window, rejected

    def _chunks(self, live: Sequence[_Live]) -> list[list[_Live]]:
        size = self.stage.chunk
        return [list(live[i : i + size]) for i in range(0, len(live), size)]

    def _prepare(
        self, step: Pass, chunk: list[_Live]
    ) -> tuple[tuple[list[_Live], dict[int, RowRejected]], int]:
        """Cut each row of a chunk into items. Returns ((ready, rejected), bytes)."""
        start = thread_time()
        results = self._guard.call(step.prepare, chunk, lambda row: row.row, lambda row: row.index)
        ready, rejected = [], {}
        for row, items in zip(chunk, results, strict=True):
            if isinstance(items, RowRejected):
                rejected[row.index] = items
            else:
                row.items = items
                ready.append(row)
        self._report.prepare += thread_time() - start
        return (ready, rejected), sum(weight(i.data) for row in ready for i in row.items)

    # passes over one window --------------------------------------------------------------------

    def _run(self, window: list[_Live]) -> dict[int, Answer]:
        """Take a window through every pass."""
        answers: dict[int, Answer] = {}
        for number, step in enumerate(self._model.passes):
            if number:
                window = self._prepare_again(step, window, answers)
            parts = [Part(n, item) for n, row in enumerate(window) for item in row.items]
            self._infer_all(number, parts, window)
            window = self._finish(step, window, parts, answers)
        answers.update((row.index, row.row) for row in window)
        return answers

    def _prepare_again(
        self, step: Pass, window: list[_Live], answers: dict[int, Answer]
    ) -> list[_Live]:
        """Prepare a pass after the first, in the same threads' number."""
        ready: list[_Live] = []
        chunks = Ahead(
            self._chunks(window), lambda c: self._prepare(step, c), self._threads, sys.maxsize
        )
        for (rows, rejected), _ in chunks:
            ready += rows
            answers.update(rejected)
        return ready

    def _finish(
        self, step: Pass, window: list[_Live], parts: list[Part], answers: dict[int, Answer]
    ) -> list[_Live]:
        """Join each row's outputs; rows that cannot be answered leave the window."""
        start = perf_counter()
        outputs: list[list[Any]] = [[] for _ in window]
        for part in parts:
            outputs[part.row].append(part.output)
        alive: list[_Live] = []
        whole: list[tuple[_Live, list[Any]]] = []
        for row, out in zip(window, outputs, strict=True):
            bad = next((o for o in out if isinstance(o, RowRejected)), None)
            if bad is not None:
                answers[row.index] = bad
            else:
                whole.append((row, out))
        for row, answer in self._finish_rows(step, whole):
            if isinstance(answer, RowRejected):
                answers[row.index] = answer
            else:
                alive.append(_Live(row.index, answer))
        self._report.finish += perf_counter() - start
        return alive

    def _finish_rows(
        self, step: Pass, whole: list[tuple[_Live, list[Any]]]
    ) -> Iterator[tuple[_Live, Answer]]:
        def finish(pairs: list[tuple[Row, list[Any]]]) -> list[Row]:
            return [step.finish(row, outputs) for row, outputs in pairs]

        for i in range(0, len(whole), self.stage.chunk):
            chunk = whole[i : i + self.stage.chunk]
            done = self._guard.call(
                finish, chunk, lambda p: (p[0].row, p[1]), lambda p: int(p[0].index)
            )
            yield from zip([row for row, _ in chunk], done, strict=True)

    # the device --------------------------------------------------------------------------------

    def _infer_all(self, number: int, parts: list[Part], window: list[_Live]) -> None:
        """Put an output, or the reason why not, into each part."""
        cut = self._cuts[number]
        for group in sort_parts(parts, cut.batching):
            for batch in cut.batches(group):
                self._infer(number, batch, window)
        self._retry_too_large(number, parts, window)

    def _infer(self, number: int, batch: list[Part], window: list[_Live]) -> None:
        """Infer one micro-batch; what does not fit in memory is halved and tried again."""
        start, cpu = perf_counter(), thread_time()
        step, cut = self._model.passes[number], self._cuts[number]
        size = cut.batching
        outputs = self._guard.call(
            step.infer, batch, lambda p: p.item, lambda p: window[p.row].index, cut
        )
        if any(isinstance(output, TooLarge) for output in outputs):
            cut.batching = size  # one row is too large by itself: the others were not too many
        for part, output in zip(batch, outputs, strict=True):
            part.output = output
        self._remember_good(number, batch)
        self._report.batches += 1
        self._report.items += len(batch)
        self._report.infer += perf_counter() - start
        self._report.infer_cpu += thread_time() - cpu

    def _retry_too_large(self, number: int, parts: list[Part], window: list[_Live]) -> None:
        """Try again, alone, what did not fit; then reject it, if the device still does its work."""
        for part in parts:
            if not isinstance(part.output, TooLarge):
                continue
            self._infer(number, [part], window)
            if isinstance(part.output, TooLarge):
                self._check_memory(number, window[part.row].index)
                part.output = RowRejected("out_of_memory", part.output.message)

    def _check_memory(self, number: int, row: int) -> None:
        """Raise DeviceBroken if an item that fitted before does not now, and StageFailed when
        nothing ever fitted and many rows did not."""
        good = self._known_good.get(number)
        if good is None:
            self._never_fitted += 1
            if self._never_fitted > NEVER_FITTED:
                raise StageFailed(
                    f"not one of {self._never_fitted} rows fits in memory beside the model of "
                    f"{self._name}.\n  give the stage more memory, a smaller model or input"
                )
            return
        probe = Part(0, good)
        self._infer(number, [probe], [_Live(row, {})])
        if isinstance(probe.output, RowRejected):
            raise DeviceBroken(f"{self._name}: a row that fitted in memory before now does not")

    def _remember_good(self, number: int, batch: list[Part]) -> None:
        """Keep the cheapest item that the device answered."""
        good = [p.item for p in batch if not isinstance(p.output, RowRejected)]
        good += [self._known_good[number]] if number in self._known_good else []
        if good:
            self._known_good[number] = min(good, key=lambda item: item.cost)

    @property
    def _name(self) -> str:
        return type(self.stage).__name__
