"""Rampart, a BERT that tags personal data: 4-bit ONNX -> BertForTokenClassification."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from transformers import BertConfig, BertForTokenClassification

from actors.errors import StageFailed
from actors.models.convert.graph import Array, Graph
from actors.models.convert.weights import State, fill, save, tensor

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
LICENCE = "LICENSE"

# ONNX Runtime's MatMulNBits packs two values a byte, the low half first, around 8 when the node
# names no zero point; each block of a row has its own scale.
ZERO = 8


def convert(files: Path, folder: Path) -> None:
    """Write the model with full-precision weights, its tokenizer and its licence."""
    config = BertConfig.from_pretrained(files)
    model = BertForTokenClassification(config)
    graph = Graph(files / "onnx" / "model_q4.onnx")
    state: State = {name: tensor(values) for name, values in _parameters(graph)}
    fill(model, state)
    save(model, folder)
    for name in (*TOKENIZER, LICENCE):
        shutil.copy(files / name, folder / name)


def unpack(packed: Array, scales: Array, width: int) -> Array:
    """Return the (rows, width) matrix of 4-bit blocks: packed is (rows, blocks, block bytes),
    scales (rows, blocks) or flat."""
    rows, blocks, _ = packed.shape
    halves = np.stack([packed & 15, packed >> 4], axis=-1).reshape(rows, blocks, -1)
    values = (halves.astype(np.float32) - ZERO) * scales.reshape(rows, blocks, 1)
    return values.reshape(rows, -1)[:, :width]


def _parameters(graph: Graph) -> Iterator[tuple[str, Array]]:
    """Yield every parameter under the name that torch gave it before the export."""
    for node in graph.nodes:
        if node.op_type == "MatMulNBits":
            packed, scales, *_ = graph.constants(node)
            width = next(a.i for a in node.attribute if a.name == "K")
            name = node.name.removeprefix("/").rsplit("/MatMul", 1)[0].replace("/", ".")
            yield f"{name}.weight", unpack(packed, scales, width)
    for name, values in graph.stored():
        if name.endswith("_quantized"):
            yield _dequantized(graph, name.removesuffix("_quantized"), values)
        elif name.endswith((".bias", "LayerNorm.weight")):
            yield name, values


def _dequantized(graph: Graph, name: str, values: Array) -> tuple[str, Array]:
    """Return an 8-bit table, an embedding, in floats."""
    zero, scale = graph.constant(f"{name}_zero_point"), graph.constant(f"{name}_scale")
    if zero is None or scale is None:
        raise StageFailed(f"the file gives no scale or zero point for {name}")
    return name, (values.astype(np.float32) - zero.astype(np.float32)) * scale
