"""What tasks share that answer the rows of a table with a model that was trained on one."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from actors.architecture import architectures, config_in, why_not
from actors.errors import StageFailed
from actors.stage import (
    Batching,
    Columns,
    Defaults,
    Device,
    Item,
    Model,
    ModelFiles,
    Pass,
    Row,
    Stage,
    model_option,
)
from actors.tables.features import TRUNCATED, VECTORS, Codes, features_of

if TYPE_CHECKING:
    from actors.tables.training import Predictor

ROWS = 65_536
"""Rows in one call of the model: a matrix of 50 columns weighs 26 MB."""

NAMES = pa.list_(pa.string())


class TableStage(Stage):
    """Base of tasks on tables. What is read is what the model was trained on."""

    reads: ClassVar[Columns] = {}
    models: ClassVar[Defaults] = Defaults(made_by="gristmill train FILE")
    rounds: ClassVar[bool] = True
    chunk: ClassVar[int] = 4_096
    architecture: ClassVar[str]

    encoder: str | None = model_option(
        None,
        None,
        "Where the text encoder of a text-and-table model lies, if not where it was trained with;"
        " it must be the same one.",
    )

    @property
    def notes(self) -> Columns:
        """What is said beside the answer: features whose category is new, texts that were cut."""
        return {"unseen": NAMES, "truncated": NAMES}

    def inputs(self, config: Mapping[str, Any] | None) -> Columns:
        """The trained columns."""
        return {f.name: f.arrow for f in features_of(config)} if config else self.reads

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept what `gristmill train` wrote for this task."""
        if self.architecture in architectures(config):
            return None
        task = "classification" if self.architecture == "TabularClassifier" else "regression"
        return why_not(f"tabular-{task}", "a model that  gristmill train  made for it", config)

    def model_options(
        self, config: Mapping[str, Any] | None
    ) -> list[tuple[str, Mapping[str, Any]]]:
        """The text encoder, at the revision that the model was trained with, if it has one."""
        said = (config or {}).get("encoder")
        if not said:
            return []
        places = {"hub": said["name"], "embedded": said["name"], "revision": said["revision"]}
        return [("encoder", places)]

    def trained(
        self, files: ModelFiles, device: Device, config: dict[str, Any], answer: "Answer"
    ) -> Model:
        """Load the trained model; `answer` makes columns of its outputs."""
        codes = Codes(features_of(config))
        predictor = _predictor(files.folder, config, codes, device)
        last = TablePass(codes, predictor, answer)
        names = [f.name for f in features_of(config) if f.kind == "text"]
        if not names:
            return TableModel([last])
        from actors.tables.texts import TextPass

        return TableModel([TextPass(names, files.others["encoder"], device), last])


Answer = Callable[[np.ndarray], list[Row]]
"""What makes answers of the outputs of many rows: much faster than row by row."""


def trained_config(folder: Path) -> dict[str, Any]:
    """Read the model's config.json. Raises StageFailed when it cannot be."""
    try:
        config: dict[str, Any] = config_in(folder)
    except (OSError, ValueError) as error:
        raise StageFailed(f"{folder} is no trained model of tables: {error}") from error
    return config


def _predictor(folder: Path, config: dict[str, Any], codes: Codes, device: Device) -> "Predictor":
    if "network" in config:
        from actors.tables import mixed

        shape = mixed.Shape.from_config(config["network"])
        return mixed.load(folder, shape, device.name, device.threads)
    from actors.tables import stored

    return stored.load(folder, len(codes.features), device.threads)


class TableModel(Model):
    """A loaded model of tables: texts into vectors, where it has texts, and then the table."""

    def __init__(self, steps: Sequence[Pass]) -> None:
        self.steps = steps

    @property
    def passes(self) -> Sequence[Pass]:
        """The passes in order."""
        return self.steps


class TablePass(Pass):
    """Codes rows, and answers as many as there are in one call."""

    batching = Batching("fixed", rows=ROWS, budget=ROWS)

    def __init__(self, codes: Codes, predictor: "Predictor", answer: Answer) -> None:
        self.codes = codes
        self.predictor = predictor
        self.answer = answer

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per row: its codes (float64), with its texts' vectors (float32) after them."""
        matrix = self.codes.matrix(lambda name: [row[name] for row in rows], len(rows))
        self.codes.check_finite(matrix)
        return [[Item((coded, row.get(VECTORS)))] for coded, row in zip(matrix, rows, strict=True)]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: the answer, and the features whose category is new."""
        matrix = np.stack([item.data[0] for item in items])
        unseen = self.codes.unseen(matrix)
        if items[0].data[1] is not None:
            matrix = np.concatenate([matrix, np.stack([item.data[1] for item in items])], axis=1)
        return list(zip(self.answer(self.predictor.predict(matrix)), unseen, strict=True))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The answer, and what is to be said of its row."""
        ((answer, unseen),) = outputs
        return {**answer, "unseen": unseen, "truncated": row.get(TRUNCATED, [])}
