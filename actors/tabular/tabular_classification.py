"""tabular-classification: which class a row of a table belongs to."""

from typing import ClassVar

import numpy as np

from actors.scores import BEST
from actors.stage import Columns, Device, Model, ModelFiles, Row, option
from actors.table_stage import TableStage, trained_config


class TabularClassification(TableStage):
    """Says which class a row of a table belongs to, with a model from `gristmill train`.

    Reads the columns that the model was trained on; numbers of any type are read as float64, and a
    missing value is null or NaN. `label` and `score` are the likeliest class and its probability
    (0..1), `scores` the best `top_k`, best first. `unseen` names the features whose category
    training never saw, `truncated` the texts of which only the beginning was read. An infinite
    number is rejected (not_finite).

    A model is made by `gristmill train FILE`, with a file such as

        task: tabular-classification
        source: {kind: csv, path: customers.csv}
        target: churn
        output: model
    """

    architecture: ClassVar[str] = "TabularClassifier"
    sample: ClassVar[Row] = {"age": 42, "city": "Paris", "income": 31_000.5, "member": True}

    top_k: int = option(5, "Most labels in `scores`.", ge=1, le=10_000)

    @property
    def writes(self) -> Columns:
        """The best class, its score, the best few, and what was new or cut."""
        return {**BEST, **self.notes}

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the trained model."""
        config = trained_config(files.folder)
        labels = list(config["classes"])
        return self.trained(files, device, config, lambda scores: self._named(scores, labels))

    def _named(self, scores: np.ndarray, labels: list[str]) -> list[Row]:
        """Per row of scores (rows, classes): the best labels."""
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self.top_k]
        ranked = np.take_along_axis(scores, best, axis=1).tolist()
        rows = [
            [{"label": labels[n], "score": score} for n, score in zip(*row, strict=True)]
            for row in zip(best.tolist(), ranked, strict=True)
        ]
        return [{**found[0], "scores": found} for found in rows]
