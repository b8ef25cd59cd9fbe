"""Labels and their scores: what tasks share whose model says which of its labels fit."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from actors.stage import Columns, Row, Stage, option

SCORES = pa.list_(pa.struct([("label", pa.string()), ("score", pa.float32())]))
"""Labels, the best first."""

BEST: Columns = {"label": pa.string(), "score": pa.float32(), "scores": SCORES}
"""The best label, its score, and the best few."""

Activation = Literal["softmax", "sigmoid", "none"]


class ScoredStage(Stage):
    """Base of tasks that answer with a model's labels."""

    top_k: int = option(5, "Most labels in `scores`.", ge=1, le=10_000)
    threshold: float = option(
        0.0, "Leave out labels that score less; `label` is null where none is left.", ge=0, le=1
    )
    activation: Literal["auto", "softmax", "sigmoid", "none"] = option(
        "auto", "How scores are made of the model's outputs; auto: as its problem_type says."
    )


class Scorer:
    """From a model's outputs to its labels' scores, as a stage's options say.

    labels      in the order of the outputs.
    activation  what "auto" means for the model.
    """

    def __init__(self, stage: ScoredStage, labels: list[str], activation: Activation) -> None:
        self.stage = stage
        self.labels = labels
        self.activation = activation if stage.activation == "auto" else stage.activation

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Return the scores of logits (..., labels), float32."""
        from actors.encoder import sigmoid, softmax

        if self.activation == "softmax":
            return softmax(logits)
        return sigmoid(logits) if self.activation == "sigmoid" else logits

    def best(self, scores: np.ndarray) -> Row:
        """Return the columns of BEST for the scores of one row, (labels,)."""
        order = np.argsort(-scores, kind="stable")[: self.stage.top_k]
        if self.activation != "none":
            order = order[scores[order] >= self.stage.threshold]
        best = [{"label": self.labels[n], "score": float(scores[n])} for n in order]
        first = best[0] if best else {"label": None, "score": None}
        return {**first, "scores": best}


def usual_activation(config: Any) -> Activation:
    """Return the activation that transformers' own pipelines choose for the model."""
    if config.problem_type == "regression":
        return "none"
    many = config.problem_type == "multi_label_classification" or config.num_labels == 1
    return "sigmoid" if many else "softmax"


def named(labels: Sequence[str], scores: np.ndarray) -> list[Row]:
    """Return every label with its score, best first; the earlier label first among equals."""
    best = np.argsort(-scores, kind="stable")
    return [{"label": labels[n], "score": float(scores[n])} for n in best]
