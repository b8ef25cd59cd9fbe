"""Graphs of TensorFlow.js files run node by node as TensorFlow defines each, to compare with."""

import base64
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from actors.models.convert.tfjs import FUSED, Graph

Node = dict[str, Any]

SIMPLE: dict[str, Callable[..., Tensor]] = {
    "Add": torch.add,
    "AddV2": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "RealDiv": torch.div,
    "FloorDiv": torch.floor_divide,
    "SquaredDifference": lambda x, y: (x - y) ** 2,
    "Sqrt": torch.sqrt,
    "Sigmoid": torch.sigmoid,
    "Identity": lambda x: x,
    "Reshape": lambda x, shape: x.reshape(shape.tolist()),
    "Transpose": lambda x, order: x.permute(order.tolist()),
    "ExpandDims": lambda x, axis: x.unsqueeze(int(axis)),
    "ArgMax": lambda x, axis: x.argmax(int(axis)),
    "GatherNd": lambda x, places: x[tuple(places.long().unbind(-1))],
    "ConcatV2": lambda *parts: torch.cat(parts[:-1], int(parts[-1])),
    # With nothing in it, as these files have them.
    "SparseToDense": lambda _, shape, value, default: default.expand(tuple(shape.tolist())),
}


class TensorFlow:
    """A graph, with the values of its inputs by name."""

    def __init__(self, graph: Graph, inputs: dict[str, Tensor]) -> None:
        self.nodes = {node["name"]: node for node in graph.nodes}
        self.known = {n: torch.from_numpy(v.copy()) for n, v in graph.constants.items()} | inputs

    def value(self, name: str) -> Tensor:
        """Return the value of that name, run for if need be."""
        if name not in self.known:
            base = name.partition(":")[0]
            made = self.run(self.nodes[base])
            self.known |= {f"{base}:{n}": one for n, one in enumerate(made)} | {base: made[0]}
        return self.known[name]

    def run(self, node: Node) -> list[Tensor]:
        """Return the outputs of a node."""
        x, *more = inputs = [self.value(name) for name in node["input"]]
        if node["op"] in SIMPLE:
            return [SIMPLE[node["op"]](*inputs)]
        if node["op"] in ("Conv2D", *FUSED):
            return [convolution(node, x, *more)]
        match node["op"]:
            case "Pad" | "PadV2":
                sides = more[0].flip(0).flatten().tolist()
                return [functional.pad(x, sides, value=float(more[1]) if len(more) > 1 else 0.0)]
            case "MaxPool":
                x = functional.max_pool2d(x.permute(0, 3, 1, 2), 3, stride(node))
                return [x.permute(0, 2, 3, 1)]
            case "ResizeBilinear":  # half_pixel_centers
                x, size = x.permute(0, 3, 1, 2), more[0].tolist()
                x = functional.interpolate(x, size, mode="bilinear", align_corners=False)
                return [x.permute(0, 2, 3, 1)]
            case "SplitV":
                return list(x.split(more[0].tolist(), int(more[1])))
            case "LeakyRelu":
                return [functional.leaky_relu(x, node["attr"]["alpha"]["f"])]
            case "Cast":
                return [x.float()]
            case "Squeeze":
                return [x.squeeze(0)]
            case "Unpack":
                return list(x.unbind(int(node["attr"]["axis"]["i"])))
        assert node["op"] == "Pack"
        return [torch.stack(inputs, int(node["attr"]["axis"]["i"]))]


def convolution(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return what a convolution answers, with what is fused into it."""
    x, step = x.permute(0, 3, 1, 2), stride(node)
    if node["attr"].get("padding", {}).get("s") == base64.b64encode(b"SAME").decode():
        missing = max((-(-x.shape[-1] // step) - 1) * step + weight.shape[0] - x.shape[-1], 0)
        before, after = missing // 2, missing - missing // 2
        x = functional.pad(x, (before, after, before, after))
    single = "Depthwise" in node["op"]
    weight = weight.permute((2, 3, 0, 1) if single else (3, 2, 0, 1))
    x = functional.conv2d(x, weight, bias, step, groups=x.shape[1] if single else 1)
    fused = node["attr"].get("fused_ops", {}).get("list", {}).get("s", [])
    names = [base64.b64decode(name).decode() for name in fused]
    x = functional.relu(x) if "Relu" in names else functional.relu6(x) if "Relu6" in names else x
    return x.permute(0, 2, 3, 1)


def stride(node: Node) -> int:
    """Return by how much a node steps."""
    return int(node["attr"]["strides"]["list"]["i"][1])
