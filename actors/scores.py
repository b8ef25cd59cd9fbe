"""Labels and their scores: what tasks share whose model says which of its labels fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from actors.errors import StageFailed
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


@dataclass(frozen=True, slots=True)
class Scorer:
    """From a model's outputs to labels and scores.

    labels      in the order of the outputs.
    top_k       most labels that are answered; those that score less than `threshold` are not,
                but plain numbers (activation "none") always are.
    """

    labels: Sequence[str]
    activation: Activation
    top_k: int
    threshold: float = 0.0

    @classmethod
    def of(cls, stage: ScoredStage, labels: Sequence[str], usual: Activation) -> "Scorer":
        """Return the scorer that a stage's options ask for; `usual` is what "auto" means."""
        activation = usual if stage.activation == "auto" else stage.activation
        return cls(labels, activation, stage.top_k, stage.threshold)

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Return the scores of logits (..., labels), float32."""
        if self.activation == "softmax":
            return softmax(logits)
        return sigmoid(logits) if self.activation == "sigmoid" else logits

    def best(self, scores: np.ndarray) -> Row:
        """Return the columns of BEST for the scores of one row, (labels,)."""
        found = named(self.labels, scores)[: self.top_k]
        if self.activation != "none":
            found = [one for one in found if one["score"] >= self.threshold]
        first = found[0] if found else {"label": None, "score": None}
        return {**first, "scores": found}


def named(labels: Sequence[str], scores: np.ndarray) -> list[Row]:
    """Return every label with its score, best first; the earlier label first among equals."""
    order = np.argsort(-scores, kind="stable")
    return [{"label": labels[n], "score": float(scores[n])} for n in order]


def usual_activation(config: Any) -> Activation:
    """Return the activation that transformers' own pipelines choose for the model."""
    if config.problem_type == "regression":
        return "none"
    many = config.problem_type == "multi_label_classification" or config.num_labels == 1
    return "sigmoid" if many else "softmax"


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return the probability of each logit by itself."""
    shares: np.ndarray = (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
    return shares


def labels_of(config: Any) -> list[str]:
    """Return a classifier's labels in the order of its outputs. Raises StageFailed without any."""
    if not config.id2label:
        raise StageFailed("the model's config.json names no labels (id2label)")
    return [config.id2label[number] for number in range(config.num_labels)]
