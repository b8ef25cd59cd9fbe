"""What every task of the catalogue keeps, tried on a tiny random model of each."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import annotated_types
import pyarrow as pa
import pytest

from actors.catalog import names, stage_class, tasks
from actors.errors import RowRejected
from actors.stage import NO_MODEL, Columns, ModelFiles, Row, Stage
from actors.worker import Worker
from jobs.tasks import example_of, rows_of, sample_of
from pipelines.file import parse
from pipelines.plan import make_plan
from pipelines.types import fits
from tests.close import assert_close
from tests.tiny import TINY

Build = Callable[..., ModelFiles]
Table = Callable[[list[Row]], pa.Table]
every_task = pytest.mark.parametrize("task", names())


@pytest.fixture(scope="session")
def workers(tiny: Build) -> Callable[[str], Worker]:
    made: dict[str, Worker] = {}

    def worker(task: str) -> Worker:
        if task not in made:
            case = TINY[task]
            made[task] = Worker(stage_of(task), tiny(case.build))
        return made[task]

    return worker


def stage_of(task: str) -> Stage:
    """The stage with the options of its example and of its tiny case."""
    stage = stage_class(task)
    return stage(**{**stage.example, **TINY[task].options})


def reads_of(stage: Stage, files: ModelFiles) -> Columns:
    """The columns that the stage reads with this model."""
    path = files.folder / "config.json"
    return stage.inputs(json.loads(path.read_text()) if path.is_file() else None)


@pytest.fixture
def input_table(task: str, tiny: Build) -> Callable[[list[Row]], pa.Table]:
    """Rows as the worker gets them: a table of the columns that the task reads."""
    schema = pa.schema(list(reads_of(stage_of(task), tiny(TINY[task].build)).items()))
    return lambda rows: pa.Table.from_pylist(rows, schema=schema)


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
def test_reads_and_writes_are_arrow_types_and_do_not_collide(task: str, tiny: Build) -> None:
    stage = stage_of(task)
    reads = reads_of(stage, tiny(TINY[task].build))
    assert reads and stage.writes
    assert all(isinstance(kind, pa.DataType) for kind in [*reads.values(), *stage.writes.values()])
    assert not reads.keys() & stage.writes.keys()
    assert stage.optional_reads <= {*reads, *getattr(stage, "reads", {})}


@every_task
def test_a_model_made_for_something_else_is_refused_with_a_reason(task: str) -> None:
    if stage_class(task).models is None:
        pytest.skip("works without a model")
    reason = stage_of(task).check({"architectures": ["Nonsense"], "model_type": "nonsense"})
    assert reason is not None and "Nonsense" in reason


@every_task
def test_the_example_of_a_task_can_be_planned(task: str, tiny: Build, tmp_path: Path) -> None:
    stage, files = stage_of(task), tiny(TINY[task].build)
    example = example_of(task, stage_class(task)(**stage_class(task).example))
    example["stages"][0] |= _named(stage, files)
    flowing = pa.schema(list(reads_of(stage, files).items()))
    plan = make_plan(parse(example, "example"), "example", tmp_path, tmp_path, flowing)
    assert plan.steps[0].writes == stage.writes


@every_task
def test_the_row_of_a_task_s_example_can_be_read_as_python_writes_it(task: str) -> None:
    stage = stage_class(task)
    row = {n: value for n, value in stage.sample.items() if n in stage.reads and value is not None}
    found = pa.Table.from_pylist([row]).schema if row else pa.schema([])
    for field in found:
        assert fits(field.type, stage.reads[field.name], stage.rounds), field


def _named(stage: Stage, files: ModelFiles) -> Row:
    """The keys of the pipeline file that name these models."""
    options = json.loads(stage.model_dump_json(exclude_unset=True))
    options |= {name: str(path) for name, path in files.others.items()}
    if stage.models is None:
        return {"options": options}
    model = NO_MODEL if files == ModelFiles.none() else str(files.folder)
    return {"model": model, "options": options}


@every_task
def test_the_sample_of_a_task_is_answered(task: str, workers: Callable[[str], Worker]) -> None:
    sample = sample_of(stage_of(task))
    if sample is None:
        pytest.skip("reads files")
    (answer,) = workers(task).answer([sample])
    assert not isinstance(answer, RowRejected)


@every_task
def test_python_that_makes_the_rows_of_a_task_makes_all_that_it_needs(task: str) -> None:
    stage = stage_of(task)
    code = rows_of(stage)
    if code is None:
        pytest.skip("reads a folder, or lines of JSON")
    compile(code, task, "exec")
    assert all(f'"{name}"' in code for name in stage.reads.keys() - stage.optional_reads)


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
def test_the_output_is_typed_also_without_rows(
    task: str, workers: Callable[[str], Worker], input_table: Table
) -> None:
    table, answers, _ = workers(task).answer_table(input_table([]))
    assert table.schema == pa.schema(list(workers(task).stage.writes.items()))
    assert (table.num_rows, answers) == (0, [])


@every_task
def test_the_output_is_typed_and_null_where_every_row_is_bad(
    task: str, workers: Callable[[str], Worker], input_table: Table
) -> None:
    reason, row = next(iter(TINY[task].bad.items()))
    table, answers, _ = workers(task).answer_table(input_table([row] * 3))
    assert table.schema == pa.schema(list(workers(task).stage.writes.items()))
    assert [answer.reason for answer in answers if isinstance(answer, RowRejected)] == (
        [reason] * 3
    )
    assert all(column.null_count == 3 for column in table.columns)


@every_task
def test_the_table_of_answers_is_what_the_rows_say(
    task: str, workers: Callable[[str], Worker], input_table: Table
) -> None:
    rows = list(TINY[task].good)
    worker = workers(task)
    worker.take_report()  # of the rows that other tests showed it
    table, answers, report = worker.answer_table(input_table(rows))
    assert_close(table.to_pylist(), answers, 1e-6)
    assert (report.rows, report.rejected) == (len(rows), 0)
