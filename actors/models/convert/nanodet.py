"""NanoDet-g: a graph of TensorFlow.js, its convolutions in running order -> our own network."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from actors.errors import StageFailed
from actors.models.convert.tfjs import Graph
from actors.models.convert.weights import State, fill, running_order, tensor
from actors.seeing.nanodet import NANODET, NANODET_CLASS, SIZES, NanoDet

# COCO's names of its 80 things, in the order of the classes (nanodet-g.yml has them so).
COCO = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light,"
    " fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant,"
    " bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard,"
    " sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket,"
    " bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli,"
    " carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet,"
    " tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink,"
    " refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush"
)


def convert(files: Path, folder: Path) -> None:
    """Write the network's configuration, labels and weights."""
    labels = COCO.split(", ")
    network = NanoDet(len(labels), SIZES)
    fill(network, _state(network, Graph(files / "nanodet.json")))
    about = {"model_type": NANODET, "architectures": [NANODET_CLASS]}
    names = {"id2label": {str(n): label for n, label in enumerate(labels)}}
    text = json.dumps({**about, **SIZES, **names}, indent=2) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    save_file(network.state_dict(), folder / "model.safetensors")


def _state(network: NanoDet, graph: Graph) -> State:
    """Return the parameters under our names. Raises StageFailed on a miscount."""
    side = SIZES["side"]
    slots = running_order(network, torch.zeros(1, 3, side, side), (nn.Conv2d,))
    layers = list(graph.convolutions())
    if len(slots) != len(layers):
        raise StageFailed(f"the model has {len(slots)} convolutions, the file {len(layers)}")
    state: State = {}
    for (name, _), (weight, bias) in zip(slots, layers, strict=True):
        # TensorFlow: (height, width, in, out); torch: (out, in, height, width).
        state[f"{name}.weight"] = tensor(weight.transpose(3, 2, 0, 1))
        state[f"{name}.bias"] = tensor(bias)
    return state
