"""Resemblyzer's encoder: a checkpoint of tensors, read without running code -> our own network."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from actors.models.convert.weights import fill
from actors.speakers.models import RESEMBLYZER, RESEMBLYZER_CLASS
from actors.speakers.resemblyzer import RATE, SIZES, WEIGHTS, build

FILE = "pretrained.pt"

TRAINING = frozenset({"similarity_weight", "similarity_bias"})
"""Numbers of the loss that it was trained with."""


def convert(files: Path, folder: Path) -> None:
    """Write the network's configuration and weights."""
    # weights_only: tensors and plain containers, nothing that could run.
    checkpoint = torch.load(files / FILE, map_location="cpu", weights_only=True)
    stored = checkpoint["model_state"]
    network = build(SIZES)
    fill(network, {name: stored[name] for name in stored if name not in TRAINING})
    about = {"model_type": RESEMBLYZER, "architectures": [RESEMBLYZER_CLASS], "sampling_rate": RATE}
    (folder / "config.json").write_text(json.dumps({**about, **SIZES}, indent=2) + "\n", "utf-8")
    save_file(network.state_dict(), folder / WEIGHTS)
