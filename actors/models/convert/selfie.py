"""MediaPipe's selfie segmentation: a TensorFlow Lite file, its convolutions in running order -> our
own network."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from actors.errors import StageFailed
from actors.models.convert.tflite import Array, Graph
from actors.models.convert.weights import State, fill, running_order, tensor
from actors.seeing.selfie import SELFIE, SELFIE_CLASS, SIDE, SelfieNetwork

KINDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "CUSTOM")
"""Of which the last is the transposed convolution at the end."""


def convert(files: Path, folder: Path) -> None:
    """Write the network's configuration and weights."""
    network = SelfieNetwork()
    fill(network, _state(network, Graph(files / "selfie_segmentation.tflite")))
    config = {
        "model_type": SELFIE,
        "architectures": [SELFIE_CLASS],
        "id2label": {"0": "background", "1": "person"},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file(network.state_dict(), folder / "model.safetensors")


def _state(network: SelfieNetwork, graph: Graph) -> State:
    """Return the parameters under our names. Raises StageFailed on a miscount."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    slots = running_order(network, torch.zeros(1, 3, SIDE, SIDE), kinds)
    layers = list(_layers(graph))
    if len(slots) != len(layers):
        raise StageFailed(f"the model has {len(slots)} convolutions, the file {len(layers)}")
    state: State = {}
    for (name, _), (kind, weight, bias) in zip(slots, layers, strict=True):
        # TensorFlow Lite: (out, height, width, in), with (1, height, width, out) where each
        # channel has its own; torch: (out, in, height, width), and (in, out, ...) transposed.
        order = (0, 3, 1, 2) if kind == "CONV_2D" else (3, 0, 1, 2)
        state[f"{name}.weight"] = tensor(weight.transpose(order))
        state[f"{name}.bias"] = tensor(bias)
    return state


def _layers(graph: Graph) -> Iterator[tuple[str, Array, Array]]:
    """Yield the kind, the weights and the bias of each convolution; weights are stored with 16
    bits, and widened by an operator of their own."""
    wide = {
        step.outputs[0]: step.inputs[0] for step in graph.operators if step.kind == "DEQUANTIZE"
    }
    for step in graph.operators:
        if step.kind in KINDS:
            weight, bias = (graph.constant(wide.get(n, n)) for n in step.inputs[-2:])
            if weight is None or bias is None:
                raise StageFailed("a convolution of the file has no stored weights")
            yield step.kind, weight, bias
