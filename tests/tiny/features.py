"""Tiny models of each family that describe a picture in numbers, and what is made with them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from PIL import Image

from actors.models.folder import content_hash
from actors.seeing.anomalies import BackboneChoice, Settings, train
from actors.stage import ModelFiles
from tests.tiny.case import Case, Row
from tests.tiny.seeing import NO_PICTURES, PICTURES, SIZE, THINGS, encoded, saved, sees
from tests.tiny.text import labelled

PATCHES = {"image_size": 32, "patch_size": 8}
WINDOWS = {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1],
           "num_heads": [1, 2], "window_size": 4}  # fmt: skip
STAGES = {"hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 1, 1]}
BLOCKS = {"in_channels": [32, 8, 12], "out_channels": [8, 12, 16], "kernel_sizes": [3, 3, 3],
          "strides": [1, 2, 2], "num_block_repeats": [1, 1, 1], "expand_ratios": [1, 2, 2],
          "hidden_dim": 1280, "depthwise_padding": [], "width_coefficient": 1.0,
          "depth_coefficient": 1.0}  # fmt: skip
DINO = {**SIZE, "mlp_ratio": 2, "image_size": 32, "patch_size": 8}

CONFIGS: dict[str, Callable[..., Any]] = {
    "beit": lambda **s: hf.BeitConfig(**SIZE, **PATCHES, **s),
    "convnext": lambda **s: hf.ConvNextConfig(**STAGES, **s),
    "convnextv2": lambda **s: hf.ConvNextV2Config(**STAGES, **s),
    "deit": lambda **s: hf.DeiTConfig(**SIZE, **PATCHES, **s),
    "dinov2": lambda **s: hf.Dinov2Config(**DINO, **s),
    "dinov2_with_registers": lambda **s: hf.Dinov2WithRegistersConfig(
        **DINO, num_register_tokens=3, **s
    ),
    "efficientnet": lambda **s: hf.EfficientNetConfig(image_size=32, **BLOCKS, **s),
    "mobilenet_v2": lambda **s: hf.MobileNetV2Config(image_size=32, depth_multiplier=0.25, **s),
    "regnet": lambda **s: hf.RegNetConfig(embedding_size=8, groups_width=4, **STAGES, **s),
    "resnet": lambda **s: hf.ResNetConfig(embedding_size=8, layer_type="basic", **STAGES, **s),
    "swin": lambda **s: hf.SwinConfig(**WINDOWS, **s),
    "swinv2": lambda **s: hf.Swinv2Config(**WINDOWS, **s),
    "vit": lambda **s: hf.ViTConfig(**SIZE, **PATCHES, **s),
}
PROCESSORS: dict[str, Callable[[], Any]] = {
    "convnext": lambda: hf.ConvNextImageProcessorPil(size={"shortest_edge": 32}),
    "dinov2": lambda: hf.BitImageProcessorPil(
        size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}
    ),
    "efficientnet": lambda: sees(hf.EfficientNetImageProcessorPil),
}


def lived(model: Any) -> Any:
    """Give batch normalisation averages and weights, as training would have."""
    generator = torch.Generator().manual_seed(1)
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for values in (part.running_mean, part.running_var, part.weight.data):
                values.copy_(torch.rand(values.shape, generator=generator) + 0.5)
            part.running_mean -= 1
    return model


def classifier(folder: Path, family: str, **settings: Any) -> Path:
    """A classifier of THINGS."""
    config = CONFIGS[family](**labelled(THINGS), **settings)
    # DeiT's has two classes of classifiers, so transformers does not choose one.
    kind = hf.DeiTForImageClassification if family == "deit" else None
    made = kind(config) if kind else hf.AutoModelForImageClassification.from_config(config)
    model = lived(made)
    return saved(folder, model, PROCESSORS.get(family, sees)())


def describer(folder: Path, family: str) -> Path:
    """The model without a head."""
    model = lived(hf.AutoModel.from_config(CONFIGS[family]()))
    return saved(folder, model, PROCESSORS.get(family, sees)())


def tagger(folder: Path) -> Path:
    """Several of its labels may fit."""
    return classifier(folder, "vit", problem_type="multi_label_classification")


def eye_of_clip(folder: Path) -> Path:
    """What sees in CLIP, alone."""
    return saved(folder, hf.CLIPVisionModel(hf.CLIPVisionConfig(**SIZE, **PATCHES)), sees())


def eye_of_siglip(folder: Path) -> Path:
    """What sees in SigLIP, alone."""
    return saved(folder, hf.SiglipVisionModel(hf.SiglipVisionConfig(**SIZE, **PATCHES)), sees())


def dinov2(folder: Path) -> Path:
    return describer(folder, "dinov2")


def good_pictures(count: int = 24, seed: int = 100) -> list[Row]:
    """Grey stripes, somewhat different each time."""
    chance = np.random.default_rng(seed)
    stripes = np.tile(np.arange(64) // 8 % 2 * 120 + 60, (64, 1))
    made = [(stripes + chance.normal(0, 8, (64, 64))).clip(0, 255) for _ in range(count)]
    return [{"image": encoded(Image.fromarray(one.astype(np.uint8)))} for one in made]


def inspector(folder: Path, family: str = "dinov2", side: int = 32, **settings: Any) -> ModelFiles:
    """Knows stripes, and by the tiny model of a family."""
    backbone, model = folder / "backbone", folder / "model"
    model.mkdir(parents=True)
    describer(backbone, family)
    asked = Settings(BackboneChoice(str(backbone), "1", backbone), side, **settings)
    rows = good_pictures()
    train([rows[:8], rows[8:16], rows[16:]], asked).save(model)
    said = json.loads((model / "config.json").read_text())
    said["backbone"]["revision"] = content_hash(backbone)
    (model / "config.json").write_text(json.dumps(said))
    return ModelFiles(model, {"backbone": backbone})


PAIRS: list[Row] = [
    {"image": one["image"], "other_image": other["image"]}
    for one, other in zip(PICTURES, [*PICTURES[2:], *PICTURES[:2]], strict=True)
]
NO_OTHER = {
    reason: {"image": PICTURES[0]["image"], "other_image": row["image"]}
    for reason, row in NO_PICTURES.items()
}

CASES = {
    "image-feature-extraction": Case(dinov2, PICTURES, NO_PICTURES),
    "image-tagging": Case(tagger, PICTURES, NO_PICTURES),
    "anomaly-detection": Case(inspector, [*PICTURES, *good_pictures(3, 7)], NO_PICTURES),
    "image-similarity": Case(dinov2, PAIRS, NO_OTHER),
}
