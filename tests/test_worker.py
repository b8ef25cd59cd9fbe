"""The worker answers every row once, in order, whatever one row does."""

import gc
from collections.abc import Iterator, Sequence
from threading import Event
from typing import Any

import pyarrow as pa
import pytest

from actors.errors import DeviceBroken, RowRejected, StageFailed
from actors.stage import Batching, Device, Item, Model, ModelFiles, Row
from actors.typed import Answer
from actors.worker import Limits, Worker
from tests.stages.echo import Echo, _Echo


def answer(texts: list[str | None], stage: Echo | None = None, **limits: int) -> list[Answer]:
    worker = Worker(stage or Echo(), ModelFiles.none(), limits=Limits(**limits))
    return worker.answer([{"text": text} for text in texts])


def short(answers: list[Answer]) -> list[str]:
    return [a.reason if isinstance(a, RowRejected) else a["upper"] for a in answers]


def test_answers_come_back_in_the_order_of_the_rows() -> None:
    texts = ["a" * (n * 7 % 13 + 1) for n in range(50)]
    assert short(answer(texts)) == [text.upper() for text in texts]


def test_parts_of_a_row_are_joined_in_order() -> None:
    assert short(answer(["one|three|five", "x|yy"])) == ["ONE|THREE|FIVE", "X|YY"]


def test_a_row_without_parts_is_answered_without_the_device() -> None:
    worker = Worker(Echo(), ModelFiles.none())
    assert worker.answer([{"text": ""}]) == [{"upper": "", "score": 0}]
    assert worker.take_report().batches == 0


class _Overlapping(_Echo):
    """Prepares its last rows only after the first are on the device."""

    batching = Batching("length", rows=4, budget=1_000, window=4)

    def __init__(self, stage: Echo) -> None:
        super().__init__(stage)
        self.begun = Event()

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        if rows[0]["text"] == "late":
            assert self.begun.wait(20)
        return super().prepare(rows)

    def infer(self, items: Sequence[Item]) -> list[Any]:
        self.begun.set()
        return super().infer(items)


class _OverlappingEcho(Echo):
    def load(self, files: ModelFiles, device: Device) -> Model:
        return _Overlapping(self)


def test_with_a_window_the_device_begins_while_later_rows_are_prepared() -> None:
    texts = ["early"] * 4 + ["late"] * 8
    assert short(answer(texts, _OverlappingEcho())) == [text.upper() for text in texts]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (None, "null_input"),
        ("bad prepare", "stage_error"),
        ("bad", "stage_error"),
        ("ok|bad|ok", "stage_error"),
        ("bad finish", "stage_error"),
    ],
)
def test_a_bad_row_costs_one_row(bad: str | None, reason: str) -> None:
    clean = [f"row{n}" for n in range(20)]
    texts = [*clean[:7], bad, *clean[7:]]
    expected = [c.upper() for c in clean]
    assert short(answer(texts)) == [*expected[:7], reason, *expected[7:]]


def test_several_bad_rows_are_each_found() -> None:
    texts = ["bad" if n % 5 == 0 else f"r{n}" for n in range(40)]
    expected = ["stage_error" if n % 5 == 0 else f"R{n}" for n in range(40)]
    assert short(answer(texts)) == expected


def test_micro_batches_obey_the_budget_and_the_pipeline_file() -> None:
    worker = Worker(Echo(), ModelFiles.none(), limits=Limits(rows=5, budget=30))
    worker.answer([{"text": "x" * 10} for _ in range(20)])
    assert worker._model.sizes == [3] * 6 + [2]


def test_out_of_memory_halves_the_micro_batch_and_remembers() -> None:
    worker = Worker(Echo(room=40), ModelFiles.none())
    rows = [{"text": "x" * 10} for _ in range(32)]
    assert short(worker.answer(rows)) == ["X" * 10] * 32
    assert worker.take_report().halvings == 1
    worker.answer(rows)
    assert worker.take_report().halvings == 0


def test_a_row_that_never_fits_is_rejected_when_others_do() -> None:
    assert short(answer(["y" * 50, "ab", "cd"], Echo(room=40))) == ["out_of_memory", "AB", "CD"]


def test_a_device_error_is_never_blamed_on_a_row() -> None:
    with pytest.raises(DeviceBroken, match="CUDA error"):
        answer(["a", "device", "b"])


def test_an_answer_that_is_not_finite_is_rejected_in_the_typed_table() -> None:
    worker = Worker(Echo(), ModelFiles.none())
    table, answers, report = worker.answer_table(pa.table({"text": ["a", "nan", "b"]}))
    assert table.to_pydict() == {"upper": ["A", None, "B"], "score": [0.5, None, 0.5]}
    assert short(answers) == ["A", "not_finite", "B"]
    assert report.rows == 3


@pytest.mark.parametrize("texts", [[], [None, None]])
def test_the_table_is_typed_also_when_empty_or_all_null(texts: list[str | None]) -> None:
    worker = Worker(Echo(), ModelFiles.none())
    table, _, _ = worker.answer_table(pa.table({"text": pa.array(texts, pa.string())}))
    assert table.schema == pa.schema([("upper", pa.string()), ("score", pa.float32())])
    assert table.num_rows == len(texts)


def test_a_row_that_never_fits_is_rejected_also_when_it_is_alone() -> None:
    assert short(answer(["y" * 50], Echo(room=40))) == ["out_of_memory"]


@pytest.fixture
def small_heap() -> Iterator[None]:
    """Where every library of the project is loaded, one collection takes half a second."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("small_heap")
def test_many_rows_that_do_not_fit_before_any_did_are_the_stages_fault() -> None:
    with pytest.raises(StageFailed, match="fits in memory beside the model"):
        answer(["y" * 50] * 20, Echo(room=40))


@pytest.mark.usefixtures("small_heap")
def test_one_row_that_is_too_large_leaves_the_micro_batches_as_they_were() -> None:
    worker = Worker(Echo(room=45), ModelFiles.none())
    worker.answer([{"text": "y" * 50}, *[{"text": "ab"}] * 8])
    worker._model.sizes.clear()
    worker.answer([{"text": "ab"}] * 16)
    assert worker._model.sizes == [8, 8]


def test_long_items_that_do_not_fit_together_leave_short_ones_together() -> None:
    worker = Worker(Echo(room=60), ModelFiles.none())
    worker.answer([{"text": "y" * 40}] * 2)
    worker._model.sizes.clear()
    worker.answer([{"text": "ab"}] * 16)
    assert worker._model.sizes == [8, 8]


def test_text_that_is_not_utf8_costs_its_row() -> None:
    texts = pa.array([b"a", b"\xff\xfe", b"b"], pa.binary()).view(pa.string())
    _, answers, _ = Worker(Echo(), ModelFiles.none()).answer_table(pa.table({"text": texts}))
    assert short(answers) == ["A", "bad_encoding", "B"]
