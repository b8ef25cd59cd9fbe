"""What tasks share that choose among labels of the user's own."""

from collections.abc import Sequence

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
    the row where it has `candidate_labels` and the task reads them. `hypothesis_template` is the
    task's own option."""

    labels: tuple[str, ...] = option(
        ..., "The labels to choose from, two or more.", min_length=1, max_length=10_000
    )
    hypothesis_template: str | None

    @field_validator("hypothesis_template", check_fields=False)
    @classmethod
    def _has_one_place(cls, template: str | None) -> str | None:
        if template is not None and template.count("{}") != 1:
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
        return "at least two labels must be there to choose from" if len(labels) < 2 else None

    def own_labels(self, row: Row) -> list[str] | None:
        """Return the labels that the row brings, or None; raise RowRejected for bad ones."""
        if row.get(LABELS) is None:
            return None
        labels = texts_of(row, LABELS)
        fault = self.fault(labels)
        if fault:
            raise RowRejected("bad_labels", f"{LABELS}: {fault}")
        return labels

    def sentences(self, labels: Sequence[str], template: str = "{}") -> list[str]:
        """Put each label into the option's template, or else into this one."""
        # replace, not format: a label may hold braces
        return [(self.hypothesis_template or template).replace("{}", label) for label in labels]
