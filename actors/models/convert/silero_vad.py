"""Silero VAD for 16 kHz: the ONNX file, which keeps torch's names -> our own network.

The package's safetensors file holds the weights of an earlier release, and answers otherwise than
the model that the package itself loads; the ONNX file answers as that does.
"""

import json
from pathlib import Path

from safetensors.torch import save_file

from actors.models.convert.graph import Graph
from actors.models.convert.weights import State, fill, tensor
from actors.speakers.models import SILERO, SILERO_CLASS
from actors.speakers.silero import RATE, SIZES, WEIGHTS, build

FILE = "silero_vad_16k_op15.onnx"
PREFIX = "model."

NAMES = {
    "stft.forward_basis_buffer": "stft_conv.weight",
    "decoder.decoder.2.": "final_conv.",
    **{f"encoder.{n}.reparam_conv.": f"conv{n + 1}." for n in range(4)},
    **{f"decoder.rnn.{w}_{i}h": f"lstm.{w}_{i}h_l0" for w in ("weight", "bias") for i in "ih"},
}
"""How a name in the file begins -> how it begins in the network."""


def convert(files: Path, folder: Path) -> None:
    """Write the network's configuration and weights."""
    network = build(SIZES)
    fill(network, _state(Graph(files / FILE)))
    config = {"model_type": SILERO, "architectures": [SILERO_CLASS], "sampling_rate": RATE}
    (folder / "config.json").write_text(json.dumps(config | SIZES, indent=2) + "\n", "utf-8")
    save_file(network.state_dict(), folder / WEIGHTS)


def _state(graph: Graph) -> State:
    """Return the file's parameters; its other constants are numbers of the graph itself."""
    return {
        _renamed(name.removeprefix(PREFIX)): tensor(values)
        for name, values in graph.stored()
        if name.startswith(PREFIX)
    }


def _renamed(name: str) -> str:
    for begin, ours in NAMES.items():
        if name.startswith(begin):
            return ours + name.removeprefix(begin)
    return name
