"""Read a model of TensorFlow.js: a graph in JSON, its constants in files beside it.

https://www.tensorflow.org/js/guide/conversion; only what a converter needs is read, nothing run.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actors.errors import StageFailed

Array = NDArray[Any]

TYPES = {"float16": np.float16, "float32": np.float32, "int32": np.int32}


FUSED = ("_FusedConv2D", "FusedDepthwiseConv2dNative", "DepthwiseConv2dNative")
"""Convolutions of graphs that were made faster for inference."""


class Convolution(NamedTuple):
    """A convolution: weights (height, width, in, out), or (height, width, channels, 1) where each
    channel has its own (`single`), and biases (out,) if it has any."""

    name: str
    single: bool
    weight: Array
    bias: Array | None


class Graph:
    """The graph of a model. Raises StageFailed when its files do not fit together."""

    def __init__(self, path: Path) -> None:
        about = json.loads(path.read_text(encoding="utf-8"))
        self.nodes: list[dict[str, Any]] = about["modelTopology"]["node"]
        self.constants: dict[str, Array] = {}
        for group in about["weightsManifest"]:
            data = b"".join((path.parent / name).read_bytes() for name in group["paths"])
            self.constants |= _read(group["weights"], data, path.name)

    def convolutions(self) -> Iterator[tuple[Array, Array]]:
        """Yield weights (height, width, in, out) and biases (out,) of the convolutions, in the
        order of the numbers that the exporter gave them as it met them."""
        found = [node for node in self.nodes if node["op"] == "Conv2D"]
        for node in sorted(found, key=lambda node: _number(node["name"])):
            yield self.constants[node["input"][1]], self._bias(node["name"])

    def fused(self) -> Iterator[Convolution]:
        """Yield the convolutions of a graph whose biases are part of them, in the file's order, in
        which they can run."""
        for node in self.nodes:
            if node["op"] in FUSED:
                name, (weight, *bias) = node["name"], node["input"][1:]
                values = self.constants[bias[0]] if bias else None
                yield Convolution(name, "Depthwise" in node["op"], self.constants[weight], values)

    def _bias(self, name: str) -> Array:
        """Return the constant that is added to a node's output."""
        for node in self.nodes:
            if node["op"] == "Add" and node["input"][0] == name:
                return self.constants[node["input"][1]]
        raise StageFailed(f"nothing is added to {name}")


def _read(entries: list[dict[str, Any]], data: bytes, name: str) -> dict[str, Array]:
    """Return the constants that lie in `data` one after the other."""
    place, found = 0, {}
    for entry in entries:
        stored = np.dtype(TYPES[entry.get("quantization", entry)["dtype"]])
        count = int(np.prod(entry["shape"]))
        if place + count * stored.itemsize > len(data):
            raise StageFailed(f"{name}: the constants are cut off")
        values = np.frombuffer(data, stored, count, place)
        found[entry["name"]] = values.reshape(entry["shape"]).astype(entry["dtype"])
        place += count * stored.itemsize
    return found


def _number(name: str) -> int:
    """Return the number that a name ends in: convolution, convolution_1, convolution_2..."""
    end = name.rpartition("_")[2]
    return int(end) if end.isdigit() else 0
