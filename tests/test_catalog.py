"""The catalogue lists tasks without importing them, and finds stages of one's own."""

import pickle
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from actors.catalog import canonical, names, stage_class, tasks
from actors.errors import UsageError
from actors.nlp.ner import Ner
from jobs.tasks import describe, example_of
from pipelines.spec import StageSpec
from tests.stages.echo import Echo


def test_a_task_is_named_after_its_file() -> None:
    assert {"ner", "summarization", "text-classification", "text-embedding"} <= set(names())
    assert tasks()["text-embedding"].module == "actors.nlp.text_embedding"
    assert stage_class("ner") is Ner


def test_listing_and_looking_up_import_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from actors.catalog import canonical, names, stage_class;"
        "[stage_class(name) for name in names()];"
        "print({'torch', 'transformers', 'spacy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_an_alias_is_the_task_it_stands_for_everywhere() -> None:
    assert canonical("token-classification") == "ner"
    assert stage_class("token-classification") is Ner
    assert StageSpec(task="token-classification") == StageSpec(task="ner")
    assert describe("token-classification") == describe("ner")


def test_no_alias_is_the_name_of_a_task_or_stands_for_two() -> None:
    aliases = [alias for task in tasks().values() for alias in task.aliases]
    assert len({*aliases, *names()}) == len(aliases) + len(names())


def test_the_aliases_that_are_listed_are_those_of_the_class() -> None:
    for name, task in tasks().items():
        assert task.aliases == stage_class(name).aliases


def test_an_unknown_task_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"no task 'sumarization' \(did you mean 'summarization'"):
        stage_class("sumarization")


def test_a_stage_of_ones_own_is_named_by_module_and_class() -> None:
    assert stage_class("tests.stages.echo:Echo") is Echo


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tests.stages.echo:Ecko", r"no Stage 'Ecko' \(did you mean 'Echo'\?\)"),
        ("tests.stages.nothing:Echo", "module 'tests.stages.nothing' cannot be imported"),
        ("tests.stages.echo:Any", "no Stage 'Any'"),
    ],
)
def test_a_stage_that_is_not_there_is_refused_with_what_is(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        stage_class(name)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301


def test_a_file_with_two_stages_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["from actors.stage import Stage", "class A(Stage): ...", "class B(Stage): ..."]
    (tmp_path / "two_stages.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    assert stage_class("two_stages:B").__name__ == "B"
    with pytest.raises(UsageError, match="one public Stage, and defines A, B"):
        from actors.catalog import _only_stage

        _only_stage("two_stages")


def test_the_rows_of_an_example_are_written_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("audio", "other_audio"):
        Path(f"{name}.wav").write_bytes(b"sound")
    exec(describe("speaker-verification")["rows"])
    (row,) = pq.read_table("rows.parquet").to_pylist()
    assert row == {"audio": b"sound", "other_audio": b"sound"}


def test_an_example_takes_embedded_models_only_where_they_are_enough_for_it() -> None:
    pictures = {"scene-understanding": False, "keypoint-matching": True, "object-detection": True}
    made = {task: example_of(task, stage_class(task)()) for task in pictures}
    assert {task: "models" in example for task, example in made.items()} == pictures
