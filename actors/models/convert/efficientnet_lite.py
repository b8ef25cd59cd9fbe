"""EfficientNet-Lite: a checkpoint of tensors -> EfficientNetForImageClassification.

Lite has no squeeze-and-excitation; transformers' class always has it. A branch whose weights are
zero and whose gate stands open multiplies by exactly 1, so the two compute the same.
"""

import json
from collections import Counter
from pathlib import Path

import torch
from transformers import EfficientNetConfig, EfficientNetForImageClassification

from actors.errors import StageFailed
from actors.models.convert.weights import fill, save

WEIGHTS = "efficientnet-lite0-57934424.pth"
LABELS, SHORT = "imagenet1k_label_to_names.json", "imagenet1k_clean_names.json"

OPEN = 30.0
"""What the gate's sigmoid gets: 1 - 1e-13, which is 1 in any precision that a model runs in."""

NAMES = {
    "_conv_stem": "efficientnet.embeddings.convolution",
    "_bn0": "efficientnet.embeddings.batchnorm",
    "_conv_head": "efficientnet.encoder.top_conv",
    "_bn1": "efficientnet.encoder.top_bn",
    "_fc": "classifier",
}
"""A layer of the file -> the same layer in transformers."""

BLOCK_NAMES = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}
"""The same of the layers in each block."""

PREPARATION = {
    "image_processor_type": "BitImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"shortest_edge": 256},
    "resample": 3,  # bicubic
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [127 / 255] * 3,  # its authors: (pixel - 127) / 128
    "image_std": [128 / 255] * 3,
}
"""As it was trained: the middle 224 of 256 pixels."""


def convert(files: Path, folder: Path) -> None:
    """Write the classifier, its labels and how its pictures are prepared."""
    # weights_only: tensors and plain containers, nothing that could run.
    stored = torch.load(files / WEIGHTS, map_location="cpu", weights_only=True)
    model = EfficientNetForImageClassification(_config(_labels(files)))
    gates = {n: _gate(n, p) for n, p in model.state_dict().items() if ".squeeze_excite." in n}
    fill(model, {_renamed(name): value for name, value in stored.items()} | gates)
    save(model, folder)
    text = json.dumps(PREPARATION, indent=2) + "\n"
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")


def _config(labels: list[str]) -> EfficientNetConfig:
    return EfficientNetConfig(
        image_size=224,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=1280,
        hidden_act="relu6",
        dropout_rate=0.2,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )


def _labels(files: Path) -> list[str]:
    """Return a name for each class of ImageNet, no two alike. Raises StageFailed where they are.

    They are ImageNet's own, synonyms and all, as models on the hub have them, save where it calls
    two classes the same (cranes, the birds and the machines): those take their short names.
    """
    names: dict[str, str] = json.loads((files / LABELS).read_text(encoding="utf-8"))
    short: list[str] = json.loads((files / SHORT).read_text(encoding="utf-8"))
    uses = Counter(names.values())
    labels = [short[int(n)] if uses[name] > 1 else name for n, name in names.items()]
    if len(set(labels)) != len(labels):
        raise StageFailed(f"{LABELS} gives two classes the same name")
    return labels


def _renamed(name: str) -> str:
    """Return transformers' name of a parameter in the file."""
    *block, layer, parameter = name.split(".")
    if block:
        return f"efficientnet.encoder.blocks.{block[1]}.{BLOCK_NAMES[layer]}.{parameter}"
    return f"{NAMES[layer]}.{parameter}"


def _gate(name: str, parameter: torch.Tensor) -> torch.Tensor:
    """Return a parameter of a squeeze-and-excitation that changes nothing."""
    return torch.full_like(parameter, OPEN if name.endswith("expand.bias") else 0.0)
