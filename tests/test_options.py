"""What is said of a task's options when they are wrong: whole messages."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from actors.errors import UsageError
from pipelines.file import parse
from pipelines.plan import make_plan

ZERO = "zero-shot-classification"
WRONG: list[tuple[str, dict[str, Any], str]] = [
    (
        ZERO,
        {},
        ", options: 'labels' is missing. The labels to choose from: two or more, or one with"
        ' multi_label.\n  such as:  labels: ["politics", "sport", "science"]',
    ),
    (ZERO, {"labels": []}, ", options: 'labels' should be a list of length 1 or more, not 0."),
    (
        ZERO,
        {"labels": ["a", "b"], "multi_label": "maybe"},
        ", options: 'multi_label' should be true or false, not 'maybe'.",
    ),
    ("fill-mask", {"gap": ""}, ", options: 'gap' should be text of length 1 or more, not ''."),
    (
        "text-generation",
        {"template": "Summarize"},
        ", options: 'template' must hold {prompt}, where the row's prompt goes:"
        " 'Reply: {prompt}', not 'Summarize'.",
    ),
    (
        "text-generation",
        {"stop": ["a"] * 17},
        ", options: 'stop' should be a list of length 16 or less, not 17.",
    ),
    (
        "tabular-regression",
        {},
        ": tabular-regression needs a model of your own.\n"
        "  make one:  gristmill train FILE\n"
        "  and name its folder:  model: ./FOLDER",
    ),
]


@pytest.mark.parametrize(("task", "options", "message"), WRONG)
def test_a_wrong_option_is_refused_with_what_to_type(
    task: str, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as told:
        plan(tmp_path, stages=[{"task": task, "options": options}])
    assert str(told.value) == f"p.yaml, stage 1 ({task}){message}"


def test_a_delimiter_of_two_characters_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'delimiter' should be one character, and no line break"):
        plan(tmp_path, source={"kind": "csv", "path": "a.csv", "delimiter": ";;"})


def plan(folder: Path, **change: Any) -> None:
    """Plan a pipeline that is right but for the change."""
    data = {
        "name": "try",
        "source": {"kind": "jsonl", "path": "texts.jsonl"},
        "stages": [{"task": "ner"}],
        "sink": {"kind": "parquet", "path": "out"},
        **change,
    }
    make_plan(parse(data, "p.yaml"), "p.yaml", folder, folder, pa.schema([("text", pa.string())]))
