"""The columns that a model of tables reads, and how their values become numbers.

A number or a boolean is itself, a category the place of its value in the trained list. A missing
value is NaN everywhere. Texts are no part of this: `texts.py` makes vectors of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from actors.errors import RowRejected

Kind = Literal["number", "category", "boolean", "text"]

UNSEEN = -1.0
"""The code of a category that training never saw."""

VECTORS = "_vectors"
"""In a row whose texts were read: they as one float32 vector, each
followed by a mark; of a missing one all is NaN but the mark, which is 1."""

TRUNCATED = "_truncated"
"""In such a row: the names of the texts of which the encoder saw only the beginning."""

TYPES: dict[Kind, frozenset[type]] = {
    "number": frozenset({int, float, bool, type(None)}),
    "boolean": frozenset({bool, type(None)}),
    "category": frozenset({str, type(None)}),
}
"""The Python types that a value of each coded kind may have."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One trained column. `values` are the categories that training saw, in code order: all text,
    or all whole numbers."""

    name: str
    kind: Kind
    values: tuple[str | int, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it is a category of whole numbers."""
        return bool(self.values) and all(isinstance(value, int) for value in self.values)

    @property
    def arrow(self) -> pa.DataType:
        """The type that it is read as."""
        plain = {"number": pa.float64(), "boolean": pa.bool_()}
        return plain.get(self.kind, pa.int64() if self.counts else pa.string())

    @property
    def _types(self) -> frozenset[type]:
        return frozenset({int, type(None)}) if self.counts else TYPES[self.kind]

    def coder(self) -> Callable[[Sequence[Any]], np.ndarray]:
        """Return what turns values into float64 codes; it raises RowRejected for a wrong type."""
        codes = {value: float(place) for place, value in enumerate(self.values)}
        codes[None] = np.nan  # type: ignore[index]

        def coded(values: Sequence[Any]) -> np.ndarray:
            self._check_types(values)
            if self.kind != "category":
                return np.array(values, dtype=np.float64)
            return np.array([codes.get(value, UNSEEN) for value in values], dtype=np.float64)

        return coded

    def _check_types(self, values: Sequence[Any]) -> None:
        wrong = set(map(type, values)) - self._types
        if wrong:
            found = ", ".join(sorted(one.__name__ for one in wrong))
            wanted = "whole number" if self.counts else self.kind
            raise RowRejected("wrong_type", f"'{self.name}' is {found}, expected a {wanted}")


class Codes:
    """Turns columns into one matrix: float64 (rows, coded features), in the features' order."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = [feature for feature in features if feature.kind != "text"]
        self._coders = [feature.coder() for feature in self.features]
        self._categories = self.places("category")

    def places(self, kind: Kind) -> list[int]:
        """The matrix's columns of one kind."""
        return [place for place, one in enumerate(self.features) if one.kind == kind]

    def matrix(self, column: Callable[[str], Sequence[Any]], rows: int) -> np.ndarray:
        """Code `rows` rows, whose columns `column(name)` gives, one at a time.

        Raises RowRejected for a value of the wrong type.
        """
        found = np.empty((rows, len(self.features)), dtype=np.float64)
        for place, (feature, coded) in enumerate(zip(self.features, self._coders, strict=True)):
            found[:, place] = coded(column(feature.name))
        return found

    def check_finite(self, matrix: np.ndarray) -> None:
        """Raise RowRejected for the first infinity."""
        rows, columns = np.nonzero(np.isinf(matrix))
        if len(rows):
            name = self.features[columns[0]].name
            raise RowRejected("not_finite", f"'{name}' is infinite; a missing value is null")

    def unseen(self, matrix: np.ndarray) -> list[list[str]]:
        """Per row of the matrix: the features whose category training never saw."""
        names = [self.features[place].name for place in self._categories]
        marks = matrix[:, self._categories] == UNSEEN
        found: list[list[str]] = [[] for _ in marks]
        for row, column in zip(*np.nonzero(marks), strict=True):
            found[row].append(names[column])
        return found


def features_of(config: Mapping[str, Any]) -> list[Feature]:
    """Read the features of a trained model's config.json."""
    values = config["categories"]
    return [
        Feature(name, kind, tuple(values.get(name, ())))
        for name, kind in config["features"].items()
    ]
