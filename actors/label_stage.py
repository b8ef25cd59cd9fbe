"""What tasks share that choose among labels of the user's own."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import field_validator, model_validator

from actors.errors import RowRejected
from actors.stage import Row, Stage, option
from actors.text import texts_of

LABELS = "candidate_labels"
"""The column of a row's own labels."""

LABELS_TYPE = pa.list_(pa.string())


class LabelStage(Stage):
    """Base of tasks that compare something with sentences about labels: those of the option, or of
    the row where it has `candidate_labels`."""

    example: ClassVar[Mapping[str, Any]] = {"labels": ("a dog", "a red car", "a street at night")}
    fewest: ClassVar[int] = 2

    labels: tuple[str, ...] = option(
        ..., "The labels to choose from.", min_length=1, max_length=10_000
    )
    hypothesis_template: str = option(
        "This is a photo of {}.", "The sentence that a label is put into, at {}."
    )

    @field_validator("hypothesis_template")
    @classmethod
    def _has_one_place(cls, template: str) -> str:
        if template.count("{}") != 1:
            raise ValueError("must hold {} once, where the label goes: 'This is a photo of {}.'")
        return template

    @model_validator(mode="after")
    def _labels_can_be_told_apart(self) -> "LabelStage":
        fault = self.fault(self.labels)
        if fault:
            raise ValueError(f"labels: {fault}")
        return self

    def fault(self, labels: Sequence[str]) -> str | None:
        """Say why these labels cannot be chosen from, or None."""
        if not all(label.strip() for label in labels):
            return "a label is blank"
        if len(set(labels)) < len(labels):
            return "a label is there twice"
        if len(labels) < self.fewest:
            return f"at least {self.fewest} must be there to choose from"
        return None

    def own_labels(self, row: Row) -> list[str] | None:
        """Return the labels that the row brings, or None; raise RowRejected for bad ones."""
        if row.get(LABELS) is None:
            return None
        labels = texts_of(row, LABELS)
        fault = self.fault(labels)
        if fault:
            raise RowRejected("bad_labels", f"{LABELS}: {fault}")
        return labels

    def sentences(self, labels: Sequence[str]) -> list[str]:
        """Put each label into the template."""
        # replace, not format: a label may hold braces
        return [self.hypothesis_template.replace("{}", label) for label in labels]
