"""MoveNet: a graph of TensorFlow.js, its convolutions in running order -> our own network."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from actors.errors import StageFailed
from actors.models.convert.tfjs import Convolution, Graph
from actors.models.convert.weights import State, fill, running_order, tensor
from actors.seeing.movenet import MOVENET, MOVENET_CLASS, MoveNet

SIZES: dict[str, dict[str, Any]] = {
    "movenet-lightning": {"side": 192, "widths": [32, 16, 24, 32, 64, 96, 160, 320, 1280]},
    "movenet-thunder": {"side": 256, "widths": [56, 32, 40, 56, 112, 168, 280, 560, 1280]},
}
"""Of the published models: pixels of the square; channels of the stem, of each group, of the top
(MobileNetV2's, and 1.75 times as many)."""

# COCO's names of a person's joints, in the order of MoveNet's answers.
JOINTS = (
    "nose, left_eye, right_eye, left_ear, right_ear, left_shoulder, right_shoulder, left_elbow,"
    " right_elbow, left_wrist, right_wrist, left_hip, right_hip, left_knee, right_knee,"
    " left_ankle, right_ankle"
)

# How the heads are called in the file, in the order of the network's. The file runs them layer by
# layer, all four at once.
HEADS = ("kpt_heatmap", "kpt_regress", "center", "kpt_offset")


def convert(files: Path, folder: Path) -> None:
    """Write the network's configuration, the names of the joints, and the weights."""
    (path,) = files.glob("*.json")
    names, sizes = JOINTS.split(", "), SIZES[path.stem]
    network = MoveNet(len(names), sizes["widths"])
    fill(network, _state(network, ordered(Graph(path).fused())))
    about = {"model_type": MOVENET, "architectures": [MOVENET_CLASS]}
    labels = {"id2label": {str(number): name for number, name in enumerate(names)}}
    text = json.dumps({**about, **sizes, **labels}, indent=2) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    save_file(network.state_dict(), folder / "model.safetensors")


def _state(network: MoveNet, layers: list[Convolution]) -> State:
    """Return the parameters under our names. Raises StageFailed on a miscount."""
    slots = running_order(network, torch.zeros(1, 3, 64, 64), (nn.Conv2d,))
    if len(slots) != len(layers):
        raise StageFailed(f"the model has {len(slots)} convolutions, the file {len(layers)}")
    state: State = {}
    for (name, _), layer in zip(slots, layers, strict=True):
        # TensorFlow: (height, width, in, out), of single channels (height, width, channels, 1).
        order = (2, 3, 0, 1) if layer.single else (3, 2, 0, 1)
        state[f"{name}.weight"] = tensor(layer.weight.transpose(order))
        if layer.bias is not None:
            state[f"{name}.bias"] = tensor(layer.bias)
    return state


def ordered(layers: Iterable[Convolution]) -> list[Convolution]:
    """Return a file's layers with the heads one after the other."""
    return sorted(layers, key=lambda layer: _head(layer.name))


def _head(name: str) -> int:
    """Return the number of the head that a layer belongs to, or -1."""
    inside = (number for number, head in enumerate(HEADS) if f"/{head}_0/" in name)
    return next(inside, -1)
