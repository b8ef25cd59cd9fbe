"""What a model of tables learns to tell: the classes or numbers of one column."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.errors import UsageError
from actors.tables.choice import is_number, is_text, plain

Goal = Literal["classification", "regression"]

MOST_CLASSES = 1_000
"""More different values than this are no classes: gradient boosting grows a tree for each."""


@dataclass(frozen=True, slots=True)
class Target:
    """One value per row: the class's place in `classes` (int64), or a number (float64)."""

    values: np.ndarray
    classes: tuple[str, ...] | None = None


def known(table: pa.Table, target: str) -> pa.ChunkedArray:
    """Whether each row's target is there: not null, NaN or infinite."""
    column = table[target]
    there = pc.is_valid(column)
    if pa.types.is_floating(column.type):
        return pc.and_(there, pc.fill_null(pc.is_finite(column), False))
    return there


def target_of(table: pa.Table, name: str, goal: Goal) -> Target:
    """Read the target of rows that all have one. Raises UsageError if it cannot be learned."""
    column = plain(table[name])
    if goal == "classification":
        return _classes(column, name)
    if not is_number(column.type):
        raise UsageError(
            f"target '{name}' is {column.type}, and tabular-regression learns a number.\n"
            "  for classes:  task: tabular-classification"
        )
    values = np.array(column.to_pylist(), dtype=np.float64)
    if len(set(values)) == 1:
        raise UsageError(f"target '{name}' is always {values[0]:g}: there is nothing to learn.")
    return Target(values)


def _classes(column: pa.ChunkedArray, name: str) -> Target:
    fitting = is_text(column.type) or pa.types.is_boolean(column.type)
    if not fitting and not pa.types.is_integer(column.type):
        raise UsageError(
            f"target '{name}' is {column.type}; classes are texts, booleans or whole numbers.\n"
            "  for a number:  task: tabular-regression"
        )
    values = column.to_pylist()
    counts = Counter(values)
    _check_counts(counts, name)
    places = {value: place for place, value in enumerate(sorted(counts))}
    labels = tuple(str(v).lower() if isinstance(v, bool) else str(v) for v in places)
    return Target(np.array([places[value] for value in values], dtype=np.int64), labels)


def _check_counts(counts: Counter[str | int], name: str) -> None:
    """Raise UsageError unless there are classes, few enough, each with two rows."""
    if len(counts) == 1:
        raise UsageError(f"target '{name}' is always {next(iter(counts))!r}: nothing to learn.")
    if len(counts) > min(MOST_CLASSES, max(2, counts.total() // 2)):
        raise UsageError(
            f"target '{name}' has {len(counts):,} different values in {counts.total():,} rows:"
            " too many for classes.\n  for a number:  task: tabular-regression"
        )
    rare = [value for value, count in counts.items() if count < 2]
    if rare:
        raise UsageError(
            f"target '{name}': a class needs 2 rows, one to learn from and one to test;"
            f" of these there is one: {', '.join(map(str, rare[:8]))}.\n"
            "  add rows, or take those out"
        )
