"""openWakeWord's TensorFlow Lite files -> one model of config.json and model.safetensors."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from actors.errors import StageFailed
from actors.listening.wake_words import BINS, FRAME, WakeWords
from actors.models.convert.tflite import Array, Graph
from actors.models.convert.weights import State, fill, tensor

WORDS = ("alexa", "hey_jarvis", "hey_mycroft", "hey_rhasspy", "okay_nabu")


def convert(files: Path, folder: Path) -> None:
    """Write the spectrogram, the embedding network and the heads of all words."""
    heads = {name: _heads(Graph(files / f"{name}.tflite")) for name in WORDS}
    config = {
        "model_type": "wake-words",
        "architectures": ["WakeWords"],
        "words": [_word(name, layers) for name, layers in heads.items()],
    }
    model = WakeWords(config)
    state = _spectrogram(Graph(files / "melspectrogram.tflite"))
    state |= _embedder(model, Graph(files / "embedding_model.tflite"))
    for number, (first, verifier) in enumerate(heads.values()):
        state |= _named(f"heads.{number}", model.heads[number], first)
        if verifier:
            state |= _named(f"verifiers.{number}", model.verifiers[str(number)], verifier)
    fill(model, state)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file({name: t.contiguous() for name, t in state.items()}, folder / "model.safetensors")


def _word(name: str, layers: tuple[list[Array], list[Array]]) -> dict[str, object]:
    first, verifier = layers
    return {
        "word": name.replace("_", " "),
        "width": len(first[0]),
        "normed": len(first) > 6,
        "verifier": len(verifier[0]) if verifier else None,
    }


def _spectrogram(graph: Graph) -> State:
    """The real and the imaginary part of the Fourier transform, and the bands."""
    constants = [c for step in graph.operators for c in graph.constants(step) if c.ndim > 1]
    waves = [c.reshape(BINS, FRAME) for c in constants if c.size == BINS * FRAME]
    (bands,) = (c for c in constants if len(c) == BINS and c.ndim == 2)
    return {
        "spectrogram.waves": tensor(np.concatenate(waves)),
        "spectrogram.bands": tensor(bands),
    }


def _embedder(model: WakeWords, graph: Graph) -> State:
    """Convolutions in the order in which they run, on both sides."""
    steps = [graph.constants(step) for step in graph.operators if step.kind == "CONV_2D"]
    layers = [(n, m) for n, m in model.embedder.named_modules() if isinstance(m, nn.Conv2d)]
    if len(steps) != len(layers):
        raise StageFailed(f"the model has {len(layers)} convolutions, the file {len(steps)}")
    state: State = {}
    for (name, _), (kernel, bias) in zip(layers, steps, strict=True):
        # TensorFlow: (out, height, width, in); torch: (out, in, height, width).
        state[f"embedder.{name}.weight"] = tensor(kernel.transpose(0, 3, 1, 2))
        state[f"embedder.{name}.bias"] = tensor(bias)
    return state


def _heads(graph: Graph) -> tuple[list[Array], list[Array]]:
    """Return a word's parameters in the order in which they are used, and its verifier's."""
    first: list[Array] = []
    verifier: list[Array] = []
    for step in graph.operators:
        found = [c for c in graph.constants(step) if c.dtype == np.float32 and c.ndim]
        if step.kind == "IF":
            verifier = found
        else:
            first += found
    return first, verifier


def _named(name: str, head: nn.Module, layers: list[Array]) -> State:
    """Return a head's parameters under their names: those of each layer, weight before bias."""
    names = [f"{name}.{parameter}" for parameter, _ in head.named_parameters()]
    if len(names) != len(layers):
        raise StageFailed(f"{name} has {len(names)} parameters, the file {len(layers)}")
    return {key: torch.clone(tensor(v)) for key, v in zip(names, layers, strict=True)}
