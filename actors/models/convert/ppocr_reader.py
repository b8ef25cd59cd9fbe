"""PP-OCRv6 small line reader: ONNX as RapidOCR ships it -> PPOCRV6SmallRecForTextRecognition."""

import json
from pathlib import Path

import torch
from torch import nn
from transformers import (
    PPLCNetV4Config,
    PPOCRV6SmallRecConfig,
    PPOCRV6SmallRecForTextRecognition,
)

from actors.errors import StageFailed
from actors.models.convert.graph import Graph
from actors.models.convert.weights import (
    affine_state,
    convolution_slots,
    convolution_state,
    fill,
    running_order,
    save,
)

# The file's blocks normalize with 1e-5, its last norm with 1e-6; transformers has one setting
# for both. With 1e-5 the answers are within 6e-6 of the file's, with its default 1e-6 within 7e-5.
BLOCK_EPS = 1e-5


def convert(files: Path, folder: Path) -> None:
    """Write the reader and `vocab.json`, the character of each class, to `folder`."""
    graph = Graph(files / "PP-OCRv6_rec_small.onnx")
    linears, vocabulary = list(graph.linears()), _vocabulary(graph)
    classes = len(linears[-1].weight)
    if len(vocabulary) != classes:
        raise StageFailed(f"the reader has {classes} classes but {len(vocabulary)} characters")
    backbone = PPLCNetV4Config(out_features=["stage4"])
    config = PPOCRV6SmallRecConfig(
        backbone_config=backbone, head_out_channels=classes, layer_norm_eps=BLOCK_EPS
    )
    model = PPOCRV6SmallRecForTextRecognition(config)
    line = torch.zeros(1, 3, 48, 320)
    norms = list(graph.layer_norms(config.hidden_size))
    state = convolution_state(convolution_slots(model, line), list(graph.convolutions()))
    state |= affine_state(running_order(model, line, (nn.Linear,)), linears)
    state |= affine_state(running_order(model, line, (nn.LayerNorm,)), norms)
    fill(model, state)
    save(model, folder)
    text = json.dumps(vocabulary, ensure_ascii=False)
    (folder / "vocab.json").write_text(text, encoding="utf-8")


def _vocabulary(graph: Graph) -> list[str]:
    """Return the characters by class: class 0 is CTC's blank, the last one the space."""
    characters = graph.metadata("character")
    if characters is None:
        raise StageFailed("the reader's file names no characters")
    return ["blank", *characters.split("\n"), " "]
