"""gristmill train: from a file and a table to a folder, and what is wrong said in a sentence."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from actors.errors import UsageError
from jobs.cli import main
from jobs.prepare import prepare
from jobs.training.train import load, train
from pipelines.file import parse
from tests.tiny import tables
from tests.world import World

Trained = Callable[..., dict[str, Any]]
ROWS = tables.people(60)
FILE = {
    "task": "tabular-classification",
    "source": {"kind": "parquet", "path": "train.parquet"},
    "target": "churn",
    "features": list(tables.FEATURES),
    "model": "linear",
    "threads": 1,
    "output": "models/churn",
}


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    """Train as FILE with changes says, on ROWS with more columns; returns the report."""
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "train.parquet")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"architectures": ["Other"]}')
    (tmp_path / "other" / "model.safetensors").touch()

    def trained(rows: dict[str, list[Any]] | None = None, **change: Any) -> dict[str, Any]:
        if rows:
            table = pa.Table.from_pylist(ROWS)
            for name, values in rows.items():
                gone = [name] if name in table.column_names else []
                table = table.drop_columns(gone).append_column(name, pa.array(values))
            pq.write_table(table, tmp_path / "train.parquet")
        file = tmp_path / "churn.yaml"
        kept = {key: value for key, value in {**FILE, **change}.items() if value is not None}
        file.write_text(yaml.safe_dump(kept))
        return train(load(file), file, tmp_path / "cache")

    return trained


def plan(folder: Path, rows: list[dict[str, Any]], **stage: Any) -> Any:
    """Plan a pipeline that answers these rows with the model."""
    pq.write_table(pa.Table.from_pylist(rows), folder / "new.parquet")
    data = {
        "name": "p",
        "source": {"kind": "parquet", "path": "new.parquet"},
        "stages": [{"task": "tabular-classification", "model": "./models/churn", **stage}],
        "sink": {"kind": "parquet", "path": "out"},
    }
    return prepare(parse(data, "p.yaml"), "p.yaml", folder, folder / "cache").plan


def test_a_training_writes_a_folder_and_reports_what_it_measured(
    trained: Trained, tmp_path: Path
) -> None:
    report = trained()
    config = json.loads((tmp_path / "models/churn/config.json").read_text())
    assert report["rows"] == {"train": 48, "test": 12}
    assert report["metrics"].keys() == {"accuracy", "macro F1", "log loss"}
    assert report["metrics"]["log loss"] < report["baseline"]["log loss"]
    assert config["training"]["metrics"] == report["metrics"]
    assert config["classes"] == ["leaves", "stays"]
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["churn"]


def test_the_same_file_trains_the_same_model(trained: Trained) -> None:
    first, second = (trained(output=f"models/{n}", model="gradient-boosting") for n in "ab")
    for report in (first, second):
        del report["seconds"], report["output"], report["revision"]
    assert first == second


def test_a_regression_is_compared_with_the_mean(trained: Trained) -> None:
    report = trained(task="tabular-regression", target="spent")
    assert report["metrics"]["R2"] > 0.9 > 0.1 > report["baseline"]["R2"]
    assert report["metrics"]["MAE"] < report["baseline"]["MAE"]
    assert report["metrics"]["RMSE"] < report["baseline"]["RMSE"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_other_sources_teach_the_same(kind: str, trained: Trained, tmp_path: Path) -> None:
    with (tmp_path / f"train.{kind}").open("w", newline="") as file:
        if kind == "csv":
            writer = csv.DictWriter(file, ROWS[0])
            writer.writeheader()
            writer.writerows(ROWS)
        else:
            file.writelines(json.dumps(row) + "\n" for row in ROWS)
    found = trained(source={"kind": kind, "path": f"train.{kind}"}, output="models/b")
    assert found["features"] == trained()["features"]
    assert found["rows"] == {"train": 48, "test": 12}


def test_columns_and_rows_that_teach_nothing_are_left_out_and_said(trained: Trained) -> None:
    count = len(ROWS)
    report = trained(
        {
            "id": [f"row {n}" for n in range(count)],
            "one": [1] * count,
            "none": pa.nulls(count, pa.string()),
            "picture": [b"x"] * count,
            "churn": [None, *(row["churn"] for row in ROWS[1:])],
            "age": [*(float(row["age"]) for row in ROWS[1:]), float("inf")],
        },
        features=None,
    )
    assert report["features"].keys() == {"city", "income", "member", "spent", "age"}
    assert report["rows left out"] == {"no target": 1, "not finite": 1}
    said = {name: why.partition(" in ")[0] for name, why in report["columns left out"].items()}
    assert said == {
        "id": "it has 60 different texts",
        "one": "it has one value only",
        "none": "it is empty",
        "picture": "its type is binary; used are numbers, booleans and texts",
    }


def test_more_rows_than_asked_for_are_drawn(trained: Trained) -> None:
    report = trained(max_rows=40)
    assert report["rows"] == {"train": 32, "test": 8}
    assert report["rows left out"] == {"not drawn": 20}


REFUSED = {
    "typo": ({"targt": "x"}, "unknown key 'targt' (did you mean 'target'?)"),
    "model": ({"model": "liner"}, "not 'liner' (did you mean 'linear'?)"),
    "task": ({"task": "tabular-regresion"}, "(did you mean 'tabular-regression'?)"),
    "target": ({"target": "chrn"}, "the table has no column 'chrn' (did you mean 'churn'?)"),
    "number": ({"target": "spent"}, "target 'spent' is double; classes are texts"),
    "class": ({"task": "tabular-regression"}, "target 'churn' is string, and tabular-regression"),
    "feature": ({"features": ["age", "cty"]}, "no column 'cty' (did you mean 'city'?)"),
    "none": ({"features": []}, "'features' is empty"),
    "leak": ({"features": ["churn"]}, "'churn' is the target, so it cannot be a feature"),
    "kind": ({"features": {"age": "nmber"}}, "(did you mean 'number'?)"),
    "text": ({"features": {"city": "text"}}, "only the model text-and-table reads texts"),
    "misfit": ({"features": {"city": "number"}}, "its type is string, which is no number"),
    "split": ({"split": {"test": 0.01}}, "both sides need 2 at least (one per class)"),
    "encoder": ({"encoder": "./x"}, "only the model text-and-table reads texts"),
    "no encoder": (
        {"encoder": "./other", "model": "text-and-table"},
        "encoder: needs a text encoder (such as BertModel), but the model's config.json names",
    ),
    "missing": ({"output": None}, "'output' is missing"),
}


@pytest.mark.parametrize(("change", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_a_wrong_file_is_refused_in_a_sentence(
    change: dict[str, Any], said: str, trained: Trained, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        trained(**change)
    assert str(caught.value).startswith("churn.yaml") and said in str(caught.value)
    assert not (tmp_path / "models/churn").exists()


TARGETS = {
    "one value": (["a"] * 60, "target 'y' is always 'a'"),
    "one row": (["a"] * 59 + ["b"], "of these there is one: b"),
    "ids": ([f"{n}" for n in range(60)], "60 different values in 60 rows: too many for classes"),
    "no rows": ([None] * 55 + ["a"] * 5, "5 rows can be learned from, and 10 are the fewest"),
}


@pytest.mark.parametrize(("values", "said"), TARGETS.values(), ids=TARGETS.keys())
def test_a_target_that_cannot_be_learned_is_refused(
    values: list[Any], said: str, trained: Trained
) -> None:
    with pytest.raises(UsageError) as caught:
        trained({"y": values}, target="y")
    assert said in str(caught.value)


def test_an_output_is_replaced_only_when_it_is_a_model_and_asked_for(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained()
    command = ["train", str(tmp_path / "churn.yaml")]
    assert main(command) == 2
    assert "holds a trained model already" in capsys.readouterr().err
    assert main([*command, "--fresh", "--json", "--set", "split.seed=1"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["rows"] == {"train": 48, "test": 12}
    assert "accuracy" in said.err and "always" not in said.err
    (tmp_path / "models/churn/config.json").write_text("{}")
    assert main([*command, "--fresh"]) == 2
    assert "did not write" in capsys.readouterr().err


def test_a_table_that_lacks_a_trained_column_is_refused_at_plan(
    trained: Trained, tmp_path: Path
) -> None:
    trained()
    rows = [{"age": 1, "town": "Oslo", "income": 1.0, "member": True}]
    with pytest.raises(UsageError) as caught:
        plan(tmp_path, rows)
    assert str(caught.value) == (
        "p.yaml, stage 1 (tabular-classification) reads column 'city', which nothing before it"
        " makes.\n"
        "  columns here: age (source), town (source), income (source), member (source)\n"
        "  if one of them is meant, add to the stage:  input: {city: town}"
    )
    assert plan(tmp_path, rows, input={"city": "town"}).steps[0].inputs["city"] == "town"


def test_a_trained_column_of_another_type_is_refused_at_plan(
    trained: Trained, tmp_path: Path
) -> None:
    trained()
    rows = [{"age": "old", "city": "Oslo", "income": 1, "member": True}]
    with pytest.raises(UsageError, match="column 'age' as double, and it is string"):
        plan(tmp_path, rows)
    with pytest.raises(UsageError, match="column 'city' as string, and it is int64"):
        plan(tmp_path, [{**rows[0], "age": 1, "city": 3}])


def test_a_model_for_the_other_task_is_refused_at_plan(trained: Trained, tmp_path: Path) -> None:
    trained()
    with pytest.raises(UsageError, match="tabular-regression needs a model that  gristmill train"):
        plan(tmp_path, tables.inputs(ROWS), task="tabular-regression")


@pytest.mark.ray
def test_a_trained_model_answers_a_table_on_ray(trained: Trained, world: World) -> None:
    trained()
    rows = tables.inputs(tables.people(30, seed=7))
    rows[4]["income"] = float("inf")
    rows[5]["city"] = "Atlantis"
    new = pa.Table.from_pylist(rows)
    ages = new["age"].cast(pa.decimal128(22, 2))
    pq.write_table(new.set_column(0, "age", ages), world.path / "in" / "new.parquet")
    world.file["source"] = {"kind": "parquet", "path": "in/"}
    stage = {"task": "tabular-classification", "model": "./models/churn", "pool": {"max": 1}}
    world.file |= {"stages": [stage], "keep": ["label", "unseen"]}
    outcome = world.run()
    assert (outcome.rows, outcome.rejected) == (29, 1)
    assert world.rejects() == {("new.parquet", 4): "not_finite"}
    found = world.data()
    assert {label for label, _ in found.values()} == {"leaves", "stays"}
    assert [place for place, (_, unseen) in found.items() if unseen] == [("new.parquet", 5)]
