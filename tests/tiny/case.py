"""How the contract test tries a task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors.stage import ModelFiles, Row


@dataclass(frozen=True)
class Case:
    """A task's tiny model, rows that it answers, and rows that it rejects.

    `build` fills an empty folder with the model. `bad` maps the reject's code to the row; the
    first of them fits the types that the task reads (a null, as a rule). `options` are added to
    those of the task's example.
    """

    build: Callable[[Path], Any]
    good: Sequence[Row]
    bad: dict[str, Row]
    options: dict[str, Any] = field(default_factory=dict)


def no_model(folder: Path) -> ModelFiles:
    """For a task that works without weights."""
    return ModelFiles.none()
