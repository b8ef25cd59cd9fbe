"""What every task of the catalogue keeps, tried on a tiny random model of each."""

from collections.abc import Callable
from typing import Any

import annotated_types
import pyarrow as pa
import pytest

from actors.catalog import names, stage_class, tasks
from actors.errors import RowRejected
from actors.stage import ModelFiles, Row, Stage
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import TINY

Build = Callable[..., ModelFiles]
every_task = pytest.mark.parametrize("task", names())


@pytest.fixture(scope="session")
def workers(tiny: Build) -> Callable[[str], Worker]:
    made: dict[str, Worker] = {}

    def worker(task: str) -> Worker:
        if task not in made:
            case = TINY[task]
            made[task] = Worker(stage_class(task)(**case.options), tiny(case.build))
        return made[task]

    return worker


def input_table(stage: type[Stage], rows: list[Row]) -> pa.Table:
    schema = pa.schema(list(stage.reads.items()))
    return pa.Table.from_pylist(rows, schema=schema)


def test_every_task_has_a_tiny_model() -> None:
    assert sorted(TINY) == names()


@every_task
def test_a_task_says_in_one_line_what_it_does(task: str) -> None:
    assert tasks()[task].summary == (stage_class(task).__doc__ or "").strip().partition("\n")[0]
    assert tasks()[task].summary.endswith((".", ":"))


@every_task
def test_every_option_has_help_and_every_number_limits(task: str) -> None:
    for name, field in stage_class(task).model_fields.items():
        assert field.description, f"option '{name}' has no help"
        if _is_number(field.annotation):
            kinds = {type(limit) for limit in field.metadata}
            assert kinds & {annotated_types.Ge, annotated_types.Gt}, f"'{name}' has no lower limit"


def _is_number(annotation: Any) -> bool:
    return any(kind in (annotation, *getattr(annotation, "__args__", ())) for kind in (int, float))


@every_task
def test_reads_and_writes_are_arrow_types_and_do_not_collide(task: str) -> None:
    stage = stage_class(task)()
    types = [*stage.reads.values(), *stage.writes.values()]
    assert types and all(isinstance(kind, pa.DataType) for kind in types)
    assert not stage.reads.keys() & stage.writes.keys()
    assert stage.optional_reads <= stage.reads.keys()


@every_task
def test_a_model_made_for_something_else_is_refused_with_a_reason(task: str) -> None:
    reason = stage_class(task)().check({"architectures": ["Nonsense"], "model_type": "nonsense"})
    assert reason is not None and "Nonsense" in reason


@every_task
def test_a_batch_is_answered_as_each_row_alone_and_in_order(
    task: str, workers: Callable[[str], Worker]
) -> None:
    rows = list(TINY[task].good)
    alone = [workers(task).answer([row])[0] for row in rows]
    assert len({str(answer) for answer in alone}) > len(rows) // 2, "the rows tell nothing apart"
    assert_close(workers(task).answer(rows), alone, 1e-5)
    assert_close(workers(task).answer(rows[::-1]), alone[::-1], 1e-5)


@every_task
def test_bad_rows_leave_their_neighbours_as_they_were(
    task: str, workers: Callable[[str], Worker]
) -> None:
    good, bad = list(TINY[task].good), TINY[task].bad
    mixed = [*good[:3], *bad.values(), *good[3:]]
    answers = workers(task).answer(mixed)
    rejected = [a.reason for a in answers if isinstance(a, RowRejected)]
    assert rejected == list(bad)
    kept = [a for a in answers if not isinstance(a, RowRejected)]
    assert_close(kept, workers(task).answer(good), 1e-6)


@every_task
def test_the_output_is_typed_also_without_rows(task: str, workers: Callable[[str], Worker]) -> None:
    stage = stage_class(task)
    table, answers, _ = workers(task).answer_table(input_table(stage, []))
    assert table.schema == pa.schema(list(workers(task).stage.writes.items()))
    assert (table.num_rows, answers) == (0, [])


@every_task
def test_the_output_is_typed_and_null_where_every_row_is_bad(
    task: str, workers: Callable[[str], Worker]
) -> None:
    rows: list[Row] = [dict.fromkeys(stage_class(task).reads)] * 3
    table, answers, _ = workers(task).answer_table(input_table(stage_class(task), rows))
    assert table.schema == pa.schema(list(workers(task).stage.writes.items()))
    assert [answer.reason for answer in answers if isinstance(answer, RowRejected)] == (
        ["null_input"] * 3
    )
    assert all(column.null_count == 3 for column in table.columns)


@every_task
def test_the_table_of_answers_is_what_the_rows_say(
    task: str, workers: Callable[[str], Worker]
) -> None:
    rows = list(TINY[task].good)
    table, answers, report = workers(task).answer_table(input_table(stage_class(task), rows))
    assert_close(table.to_pylist(), answers, 1e-6)
    assert (report.rows, report.rejected) == (len(rows), 0)
