"""Trained models of tables as stages: as scikit-learn answers, and safe from bad rows and files."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from actors.errors import RowRejected, StageFailed
from actors.stage import ModelFiles, Row, Stage
from actors.tables import stored
from actors.tables.training import Settings, train
from actors.tables.trees import are_sound
from actors.tabular.tabular_classification import TabularClassification
from actors.tabular.tabular_regression import TabularRegression
from actors.worker import Worker
from benchmarks.quality_tables import measure
from tests.close import assert_close
from tests.tiny import tables

Build = Callable[..., ModelFiles]
NEW = tables.inputs(tables.people(40, seed=5))
MISSING = {None: np.nan}


def answers(stage: Stage, files: ModelFiles, rows: list[Row]) -> list[Any]:
    return Worker(stage, files).answer(rows)


def plain(rows: list[Row]) -> np.ndarray:
    """Rows as scikit-learn reads them: the city as an object, all else as numbers."""
    order = ("age", "income", "member", "city")
    numbers = [[MISSING.get(row[name], row[name]) for name in order] for row in rows]
    return np.array(numbers, dtype=object)


def learned(rows: list[Row], target: str, classes: bool) -> list[Row]:
    """The rows that a training with seed 0 learns from."""
    values = [row[target] for row in rows]
    kept, _ = train_test_split(
        range(len(rows)), test_size=0.2, random_state=0, stratify=values if classes else None
    )
    return [rows[place] for place in sorted(kept)]


def test_scores_are_those_of_scikit_learn_on_the_same_rows(tiny: Build) -> None:
    rows = learned(tables.people(), "churn", classes=True)
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer([("city", codes, [3])], remainder="passthrough")
    boosting = HistGradientBoostingClassifier(categorical_features=[0], random_state=0)
    model = make_pipeline(columns, boosting).fit(plain(rows), [row["churn"] for row in rows])
    found = answers(TabularClassification(), tiny(tables.classifier), NEW)
    expected = [
        sorted(zip(scores, model.classes_, strict=True), reverse=True)
        for scores in model.predict_proba(plain(NEW))
    ]
    named = [[{"label": label, "score": score} for score, label in one] for one in expected]
    assert_close([answer["scores"] for answer in found], named, 1e-6)
    assert [(a["label"], a["score"]) for a in found] == [
        (a["scores"][0]["label"], a["scores"][0]["score"]) for a in found
    ]


def test_predictions_are_those_of_scikit_learn_on_the_same_rows(tiny: Build) -> None:
    rows = learned(tables.people(), "spent", classes=False)
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    columns = ColumnTransformer(
        [("numbers", numbers, [0, 1, 2]), ("city", OneHotEncoder(handle_unknown="ignore"), [3])]
    )
    model = make_pipeline(columns, Ridge()).fit(plain(rows), [row["spent"] for row in rows])
    found = answers(TabularRegression(), tiny(tables.regressor), NEW)
    assert_close([a["prediction"] for a in found], model.predict(plain(NEW)), 1e-6)


def test_answers_are_those_of_the_stored_model(tiny: Build) -> None:
    files = tiny(tables.classifier)
    model = skops.io.load(files.folder / "model.skops", trusted=list(stored.TRUSTED))
    cities = ["Lima", "Oslo", "Paris", "Rome"]
    matrix = [
        [
            row["age"],
            MISSING.get(row["city"]) if row["city"] is None else cities.index(row["city"]),
            MISSING.get(row["income"], row["income"]),
            MISSING.get(row["member"], row["member"]),
        ]
        for row in NEW
    ]
    expected = model.predict_proba(np.array(matrix, dtype=float)).max(axis=1)
    found = answers(TabularClassification(), files, NEW)
    assert_close([answer["score"] for answer in found], expected, 1e-6)


def test_what_is_missing_is_answered_and_what_is_new_is_named(tiny: Build) -> None:
    new, empty, nan = answers(TabularClassification(), tiny(tables.classifier), tables.GAPS)
    assert (new["unseen"], empty["unseen"], nan["unseen"]) == (["city"], [], [])
    blank = {**tables.GAPS[0], "city": None}
    (unknown,) = answers(TabularClassification(), tiny(tables.classifier), [blank])
    assert unknown == {**new, "unseen": []}, "gradient boosting takes new and missing alike"


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_an_infinite_number_costs_its_row_alone(value: float, tiny: Build) -> None:
    bad = {**NEW[0], "income": value}
    found = answers(TabularRegression(), tiny(tables.regressor), [*NEW[:3], bad, *NEW[3:6]])
    assert isinstance(found[3], RowRejected) and found[3].reason == "not_finite"
    assert "'income'" in found[3].message
    good = answers(TabularRegression(), tiny(tables.regressor), NEW[:6])
    assert_close(found[:3] + found[4:], good, 1e-9)


def test_only_the_best_labels_are_listed(tiny: Build) -> None:
    (answer,) = answers(TabularClassification(top_k=1), tiny(tables.classifier), NEW[:1])
    assert answer["scores"] == [{"label": answer["label"], "score": answer["score"]}]


def three(folder: Path, **settings: Any) -> None:
    """A model of three whole numbers as classes, with a category of whole numbers."""
    rows = [{**row, "zip": n % 5, "rate": n % 3} for n, row in enumerate(tables.people(90))]
    wanted = {"features": {"zip": "category", "age": None}, **settings}
    train(pa.Table.from_pylist(rows), Settings("classification", "rate", **wanted)).save(folder)


def test_categories_and_classes_may_be_whole_numbers(tmp_path: Path) -> None:
    three(tmp_path)
    stage = TabularClassification()
    config = json.loads((tmp_path / "config.json").read_text())
    assert stage.inputs(config) == {"zip": pa.int64(), "age": pa.float64()}
    (answer,) = answers(stage, ModelFiles(tmp_path), [{"zip": 9, "age": 30}])
    assert {one["label"] for one in answer["scores"]} == {"0", "1", "2"}
    assert answer["unseen"] == ["zip"]
    (bad,) = answers(stage, ModelFiles(tmp_path), [{"zip": "9", "age": 30}])
    assert (bad.reason, bad.message) == ("wrong_type", "'zip' is str, expected a whole number")


@pytest.mark.parametrize("model", ["gradient-boosting", "linear"])
@pytest.mark.parametrize("goal", ["classification", "regression"])
def test_our_models_hold_only_types_that_are_trusted(model: Any, goal: str, tmp_path: Path) -> None:
    tables.trained(tmp_path, goal, model=model)
    types = skops.io.get_untrusted_types(file=tmp_path / "model.skops")
    assert set(types) <= set(stored.TRUSTED)


def test_a_model_with_a_foreign_type_is_refused(tiny: Build, tmp_path: Path) -> None:
    shutil.copy(tiny(tables.classifier).folder / "config.json", tmp_path)
    skops.io.dump(partial(shutil.rmtree, "/nowhere"), tmp_path / "model.skops")
    with pytest.raises(StageFailed, match=r"model\.skops holds types .* shutil\.rmtree"):
        Worker(TabularClassification(), ModelFiles(tmp_path))


def test_a_model_that_is_cut_short_or_another_s_is_refused(tiny: Build, tmp_path: Path) -> None:
    shutil.copytree(tiny(tables.classifier).folder, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "model.skops"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(StageFailed, match="cannot be loaded"):
        Worker(TabularClassification(), ModelFiles(tmp_path))
    three(tmp_path)
    shutil.copy(tiny(tables.classifier).folder / "config.json", tmp_path)
    with pytest.raises(StageFailed, match=r"does not fit its config\.json"):
        Worker(TabularClassification(), ModelFiles(tmp_path))


@pytest.mark.parametrize(
    ("field", "value"), [("left", 10_000), ("right", 0), ("feature_idx", 99), ("bitset_idx", 9_999)]
)
def test_trees_that_lead_out_of_their_arrays_are_refused(
    field: str, value: int, tiny: Build, tmp_path: Path
) -> None:
    shutil.copytree(tiny(tables.classifier).folder, tmp_path, dirs_exist_ok=True)
    model = skops.io.load(tmp_path / "model.skops", trusted=list(stored.TRUSTED))
    assert are_sound(model)
    trees = [tree for step in model._predictors for tree in step]
    for tree in trees:
        tree.nodes[field][tree.nodes["is_leaf"] == 0] = value
    assert any(tree.nodes["is_categorical"].any() for tree in trees)
    skops.io.dump(model, tmp_path / "model.skops")
    with pytest.raises(StageFailed, match="is damaged"):
        Worker(TabularClassification(), ModelFiles(tmp_path))


def test_a_shipped_table_is_learned_far_better_than_its_baseline() -> None:
    (accuracy,), baseline = measure("iris", "linear", splits=1)
    assert accuracy > 0.9 > 0.4 > baseline
