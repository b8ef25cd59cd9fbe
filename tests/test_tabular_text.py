"""The text-and-table model: free text beside numbers and categories."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from actors.errors import RowRejected, StageFailed, UsageError
from actors.models.folder import content_hash
from actors.stage import ModelFiles, Row
from actors.tables.training import EncoderChoice, Report, Settings, train
from actors.tabular.tabular_classification import TabularClassification
from actors.tabular.tabular_regression import TabularRegression
from actors.worker import Worker
from jobs.prepare import prepare
from jobs.training.train import load
from jobs.training.train import train as train_file
from pipelines.file import parse
from tests.close import assert_close
from tests.tiny import tables, text

Build = Callable[..., ModelFiles]
WORDS = {True: ["good film", "the acting was superb"], False: ["useless", "the battery died"]}


def reviews(count: int = 80) -> list[Row]:
    """People, each with a note that decides a verdict and, with the age, a number of stars."""
    rows = tables.people(count, seed=2)
    for number, row in enumerate(rows):
        liked = number % 3 > 0
        row["note"] = f"{WORDS[liked][number % 2]} ; row {number} of the film"
        row["verdict"] = "liked" if liked else "returned"
        row["stars"] = (4.0 if liked else 1.0) + row["age"] / 80
    return rows


FEATURES: Any = {"note": "text", "age": None, "city": None}


def inputs(rows: list[Row]) -> list[Row]:
    return [{name: row[name] for name in FEATURES} for row in rows]


def learn(folder: Path, encoder: Path, goal: Any = "classification") -> Report:
    target = "verdict" if goal == "classification" else "stars"
    choice = EncoderChoice(str(encoder), content_hash(encoder), encoder)
    settings = Settings(goal, target, "text-and-table", FEATURES, encoder=choice)
    found = train(pa.Table.from_pylist(reviews()), settings)
    found.save(folder)
    return found.report


@pytest.fixture(scope="session")
def reader(tiny: Build, tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A model that tells verdicts, and its encoder."""
    folder, encoder = tmp_path_factory.mktemp("reader"), tiny(text.bert_encoder).folder
    learn(folder, encoder)
    return ModelFiles(folder, {"encoder": encoder})


def test_texts_tell_what_numbers_cannot(tmp_path: Path, tiny: Build) -> None:
    report = learn(tmp_path, tiny(text.bert_encoder).folder)
    assert report.features == {"note": "text", "age": "number", "city": "category"}
    assert report.metrics["accuracy"] > 0.9 > report.baseline["accuracy"]


def test_numbers_are_predicted_too(tmp_path: Path, tiny: Build) -> None:
    encoder = tiny(text.bert_encoder).folder
    report = learn(tmp_path, encoder, "regression")
    assert report.metrics["R2"] > 0.5 > report.baseline["R2"]
    files = ModelFiles(tmp_path, {"encoder": encoder})
    rows = reviews()
    found = Worker(TabularRegression(), files).answer(inputs(rows))
    errors = [abs(f["prediction"] - row["stars"]) for f, row in zip(found, rows, strict=True)]
    assert np.mean(errors) < 1.5


def test_answers_do_not_depend_on_the_rows_beside(reader: ModelFiles) -> None:
    rows: list[Row] = [
        *inputs(reviews(9)),
        {"note": None, "age": None, "city": None},
        {"note": " \n", "age": 1e300, "city": "Atlantis"},
        {"note": "good " * 500, "age": -1, "city": "Oslo"},
        {"note": "😀 \0 שלום", "age": float("nan"), "city": ""},
    ]
    worker = Worker(TabularClassification(), reader)
    together = worker.answer(rows)
    assert_close(together, [worker.answer([row])[0] for row in rows], 1e-5)
    assert [row["truncated"] for row in together[9:]] == [[], [], ["note"], []]
    assert [row["unseen"] for row in together[9:]] == [[], ["city"], [], ["city"]]


def test_a_row_that_cannot_be_read_is_rejected_alone(reader: ModelFiles) -> None:
    good = inputs(reviews(4))
    bad = [{**good[0], "note": "a\ud800"}, {**good[0], "note": 7}, {**good[0], "age": np.inf}]
    worker = Worker(TabularClassification(), reader)
    found = worker.answer([*good[:2], *bad, *good[2:]])
    reasons = [row.reason for row in found if isinstance(row, RowRejected)]
    assert reasons == ["invalid_text", "wrong_type", "not_finite"]
    assert_close(found[:2] + found[5:], worker.answer(good), 1e-6)


def test_the_network_is_what_its_description_says(reader: ModelFiles) -> None:
    """[numbers and texts, standardised | missing | categories], written out by hand."""
    from safetensors.torch import load_file

    weights = load_file(reader.folder / "model.safetensors")
    model = Worker(TabularClassification(), reader)._model
    row = inputs(reviews(1))
    vector = model.passes[0].finish(row[0], model.passes[0].infer(model.passes[0].prepare(row)[0]))
    config = json.loads((reader.folder / "config.json").read_text())
    city = config["categories"]["city"].index(row[0]["city"]) if row[0]["city"] else -1
    numbers = torch.tensor([row[0]["age"], *vector["_vectors"]], dtype=torch.float64)
    features = torch.cat(
        [
            ((numbers - weights["mean"]) / weights["scale"]).float(),
            torch.zeros(1),
            weights["embeddings.0.weight"][city + 2],
        ]
    )
    hidden = (weights["head.1.weight"] @ features + weights["head.1.bias"]).relu()
    scores = (weights["head.4.weight"] @ hidden + weights["head.4.bias"]).softmax(0)
    (answer,) = Worker(TabularClassification(), reader).answer(row)
    assert_close(answer["score"], float(scores.max()), 1e-5)


def test_weights_of_another_shape_are_refused(reader: ModelFiles, tmp_path: Path) -> None:
    shutil.copytree(reader.folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["network"]["outputs"] = 5
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(StageFailed, match=r"model\.safetensors cannot be loaded"):
        Worker(TabularClassification(), ModelFiles(tmp_path, reader.others))


def test_the_encoder_of_a_model_is_pinned(tmp_path: Path, tiny: Build) -> None:
    shutil.copytree(tiny(text.bert_encoder).folder, tmp_path / "encoder")
    pq.write_table(pa.Table.from_pylist(reviews()), tmp_path / "train.parquet")
    source = {"kind": "parquet", "path": "train.parquet"}
    file = tmp_path / "verdicts.yaml"
    task = {"task": "tabular-classification", "target": "verdict", "features": FEATURES}
    task["features"] = {name: kind or "auto" for name, kind in FEATURES.items()}
    how = {"model": "text-and-table", "encoder": "./encoder", "output": "model"}
    file.write_text(yaml.safe_dump({**task, **how, "source": source}))
    train_file(load(file), file, tmp_path / "cache")
    stage = {"task": "tabular-classification", "model": "./model"}
    sink = {"kind": "parquet", "path": "out"}
    pipeline = parse({"name": "p", "source": source, "stages": [stage], "sink": sink}, "p.yaml")
    plan = prepare(pipeline, "p.yaml", tmp_path, tmp_path).plan
    assert plan.steps[0].others["encoder"].folder == tmp_path / "encoder"
    (tmp_path / "encoder" / "more.txt").write_text("changed")
    with pytest.raises(UsageError, match=r"option 'encoder': model '.*encoder' is not at the"):
        prepare(pipeline, "p.yaml", tmp_path, tmp_path)


@pytest.mark.embedded
def test_an_embedded_encoder_reads_verdicts(cache: Path, tmp_path: Path) -> None:
    from actors.models.embedded import prepare

    folder = prepare("all-minilm-l6-v2", cache)
    report = learn(tmp_path, folder)
    assert report.metrics["accuracy"] == 1.0
    rows = [
        {"note": "what a lovely movie", "age": 30, "city": "Oslo"},
        {"note": "the charger is broken and of no use", "age": 30, "city": "Oslo"},
    ]
    found = Worker(TabularClassification(), ModelFiles(tmp_path, {"encoder": folder})).answer(rows)
    assert [row["label"] for row in found] == ["liked", "returned"]
