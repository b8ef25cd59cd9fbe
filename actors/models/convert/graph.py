"""Read layers out of an ONNX file, in the order in which they run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
from onnx import numpy_helper

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution: `weight` as torch lays it out, `bias` per output channel, and the
    (scale, shift, mean, variance) of a batch normalization that was not folded into it."""

    weight: Array
    bias: Array | None
    norm: tuple[Array, ...] | None


@dataclass(frozen=True, slots=True)
class Affine:
    """A product and a sum. Linear: `weight` (out, in); layer normalization: `weight` (width,)."""

    weight: Array
    bias: Array


class Graph:
    """An ONNX graph in which constants are found by name, through any chain of Identity nodes."""

    def __init__(self, path: Path) -> None:
        self.model = onnx.load(str(path))
        self.nodes = list(self.model.graph.node)
        self._constants = _constants(self.model.graph)
        self._alias = {n.output[0]: n.input[0] for n in self.nodes if n.op_type == "Identity"}
        self._users: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self._users.setdefault(name, []).append(node)

    def constant(self, name: str) -> Array | None:
        """Return the constant called `name`, or None when it is computed."""
        while name not in self._constants and name in self._alias:
            name = self._alias[name]
        return self._constants.get(name)

    def constants(self, node: onnx.NodeProto) -> list[Array]:
        """Return the inputs of a node that are constants, in order."""
        return [value for name in node.input if (value := self.constant(name)) is not None]

    def stored(self) -> Iterator[tuple[str, Array]]:
        """Yield every constant with its name, in the file's order."""
        yield from self._constants.items()

    def users(self, name: str) -> list[onnx.NodeProto]:
        """Return the nodes that take `name`, looking through Identity nodes."""
        found: list[onnx.NodeProto] = []
        for node in self._users.get(name, []):
            found += self.users(node.output[0]) if node.op_type == "Identity" else [node]
        return found

    def metadata(self, key: str) -> str | None:
        """Return an entry of the file's metadata."""
        return next((p.value for p in self.model.metadata_props if p.key == key), None)

    def convolutions(self) -> Iterator[Convolution]:
        """Yield convolutions, plain and transposed, each with the bias or norm that follows it."""
        for node in self.nodes:
            if node.op_type in ("Conv", "ConvTranspose"):
                yield self._convolution(node)

    def linears(self) -> Iterator[Affine]:
        """Yield products with a constant matrix and the vector that is added to each."""
        for node in self.nodes:
            if node.op_type == "MatMul" and self.constants(node):
                bias = self.constants(self.users(node.output[0])[0])[0]
                yield Affine(self.constants(node)[0].T, bias)

    def layer_norms(self, width: int) -> Iterator[Affine]:
        """Yield the scale and shift of layer normalizations over `width` channels."""
        for node in self.nodes:
            scale = self.constants(node) if node.op_type == "Mul" else []
            if scale and scale[0].shape == (width,):
                yield Affine(scale[0], self.constants(self.users(node.output[0])[0])[0])

    def _convolution(self, node: onnx.NodeProto) -> Convolution:
        weight, *rest = self.constants(node)
        channels = weight.shape[1 if node.op_type == "ConvTranspose" else 0]
        after = self.users(node.output[0])
        follower = after[0] if len(after) == 1 else None
        added = self.constants(follower) if follower and follower.op_type == "Add" else []
        if added and added[0].size == channels:
            rest = [added[0].reshape(-1)]
        normed = follower is not None and follower.op_type == "BatchNormalization"
        norm = tuple(self.constants(follower)) if normed else None
        return Convolution(weight, rest[0] if rest else None, norm)


def _constants(graph: onnx.GraphProto) -> dict[str, Array]:
    """Return initializers and the values of Constant nodes by name."""
    found = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value":
                found[node.output[0]] = numpy_helper.to_array(attribute.t)
    return found
