"""Read a TensorFlow Lite file: its operators in order, and the constants that they use.

The file is a FlatBuffer (https://flatbuffers.dev/internals/), laid out by TensorFlow's schema.fbs:
tables whose fields are found by number. Only what a converter needs is read; nothing is run.
"""

import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.errors import StageFailed

Array = NDArray[Any]

IDENTIFIER = b"TFL3"

# schema.fbs, enum TensorType: what constants of these models are made of.
TYPES = {0: np.float32, 1: np.float16, 2: np.int32, 4: np.int64, 9: np.int8}

# schema.fbs, enum BuiltinOperator: those that a converter looks for.
OPERATORS = {
    3: "CONV_2D",
    4: "DEPTHWISE_CONV_2D",
    6: "DEQUANTIZE",
    9: "FULLY_CONNECTED",
    32: "CUSTOM",
    118: "IF",
}


@dataclass(frozen=True, slots=True)
class Operator:
    """One step of the graph: its kind, and the numbers of its tensors."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Table:
    """A FlatBuffer table: fields by their number, each absent or somewhere in the file."""

    def __init__(self, data: bytes, place: int) -> None:
        self.data = data
        self.place = place
        self.fields = place - self._number("<i", place)

    def _number(self, kind: str, place: int) -> int:
        (found,) = struct.unpack_from(kind, self.data, place)
        return int(found)

    def _field(self, number: int) -> int:
        """Return where a field lies, or 0 when it is absent."""
        entry = 4 + 2 * number
        if entry >= self._number("<H", self.fields):
            return 0
        offset = self._number("<H", self.fields + entry)
        return self.place + offset if offset else 0

    def _target(self, number: int) -> int:
        """Return where the thing lies that a field refers to, or 0."""
        field = self._field(number)
        return field + self._number("<I", field) if field else 0

    def scalar(self, number: int, kind: str, default: int = 0) -> int:
        """Return a field that is a number itself."""
        field = self._field(number)
        return self._number(kind, field) if field else default

    def array(self, number: int, kind: type[np.generic]) -> Array:
        """Return a field that is a list of numbers."""
        target = self._target(number)
        if not target:
            return np.zeros(0, kind)
        return np.frombuffer(self.data, kind, self._number("<I", target), target + 4)

    def tables(self, number: int) -> list["Table"]:
        """Return a field that is a list of tables."""
        target = self._target(number)
        places = range(target + 4, target + 4 + 4 * self._number("<I", target), 4) if target else ()
        return [Table(self.data, place + self._number("<I", place)) for place in places]

    def text(self, number: int) -> str:
        """Return a field that is a string."""
        return bytes(self.array(number, np.uint8)).decode()


class Graph:
    """The first graph of a TensorFlow Lite file. Raises StageFailed for another kind of file."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        if data[4:8] != IDENTIFIER:
            raise StageFailed(f"{path.name} is not a TensorFlow Lite file")
        self.root = Table(data, struct.unpack_from("<I", data)[0])
        self.graph = self.root.tables(2)[0]
        self.tensors = self.graph.tables(0)

    @cached_property
    def operators(self) -> list[Operator]:
        """The steps in the order in which they run."""
        codes = [max(c.scalar(0, "<b"), c.scalar(3, "<i")) for c in self.root.tables(1)]
        return [
            Operator(
                OPERATORS.get(code := codes[step.scalar(0, "<I")], str(code)),
                tuple(step.array(1, np.int32).tolist()),
                tuple(step.array(2, np.int32).tolist()),
            )
            for step in self.graph.tables(3)
        ]

    @cached_property
    def buffers(self) -> list[Table]:
        """Where constants lie."""
        return self.root.tables(4)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return a tensor's shape as the file states it."""
        return tuple(self.tensors[tensor].array(0, np.int32).tolist())

    def constant(self, tensor: int) -> Array | None:
        """Return a tensor's stored values, or None for one that is computed."""
        table = self.tensors[tensor]
        stored = self.buffers[table.scalar(2, "<I")].array(0, np.uint8)
        if not len(stored):
            return None
        return stored.view(TYPES[table.scalar(1, "<b")]).reshape(self.shape(tensor))

    def constants(self, operator: Operator) -> list[Array]:
        """Return the stored values among an operator's inputs, in their order."""
        found = (self.constant(tensor) for tensor in operator.inputs if tensor >= 0)
        return [values for values in found if values is not None]
