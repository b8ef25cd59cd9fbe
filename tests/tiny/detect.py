"""Tiny models that find things in pictures."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from PIL import Image

from tests.tiny.case import Case, Row, no_model
from tests.tiny.seeing import NO_PICTURES, PICTURES, SIZE, encoded, saved
from tests.tiny.text import labelled, scatter


def same_each_time(build: Callable[..., Path]) -> Callable[..., Path]:
    """Build a model with one seed: of some random ones, two answers are all but equally good, and
    rounding decides between them."""

    @wraps(build)
    def built(*given: Any) -> Path:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(4)
            return build(*given)

    return built


def shifted(seed: int, right: int, down: int, width: int = 160, height: int = 120) -> Row:
    """Two views of one wall of coloured bricks: what the first shows, the other shows further
    right and down."""
    colours = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    wall = Image.fromarray(colours).resize((2 * width, 2 * height), Image.Resampling.BICUBIC)
    x, y = width // 2, height // 2
    views = [wall.crop((x - by, y - dy, x - by + width, y - dy + height)) for by, dy in
             ((0, 0), (right, down))]  # fmt: skip
    return {"image": encoded(views[0]), "other_image": encoded(views[1])}


PAIRS: list[Row] = [
    shifted(1, 8, 5),
    shifted(2, -6, 9),
    shifted(3, 11, -4, 200, 90),
    shifted(4, 0, 0, 90, 130),
]


def _pairs_of(rows: dict[str, Row]) -> dict[str, Row]:
    return {reason: {**row, "other_image": PICTURES[0]["image"]} for reason, row in rows.items()}


@same_each_time
def lightglue(folder: Path) -> Path:
    """A matcher of the points that its own SuperPoint finds."""
    points = hf.SuperPointConfig(
        encoder_hidden_sizes=[16] * 4,
        decoder_hidden_size=32,
        descriptor_decoder_dim=32,
        keypoint_decoder_dim=65,
        max_keypoints=48,
        keypoint_threshold=0.0,
    )
    config = hf.LightGlueConfig(
        keypoint_detector_config=points,
        descriptor_dim=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        filter_threshold=0.0,
    )
    processor = hf.LightGlueImageProcessorPil(size={"height": 96, "width": 128})
    return saved(folder, hf.LightGlueForKeypointMatching(config), processor)


@same_each_time
def loftr(folder: Path) -> Path:
    """A matcher of cells of 8 x 8 pixels."""
    config: Any = hf.EfficientLoFTRConfig(
        stage_num_blocks=[1, 1, 1, 1],
        out_features=[16, 16, 32, 64],
        hidden_size=64,
        num_attention_layers=1,
        coarse_matching_threshold=0.0,
        coarse_matching_temperature=1.0,
        fine_matching_slice_dim=4,
    )
    model = scatter(hf.EfficientLoFTRForKeypointMatching(config), gain=2)
    for name, weight in model.named_parameters():
        if weight.dim() == 1:  # as they are initialised, they drown what is seen
            torch.nn.init.constant_(weight, float(name.endswith("weight")))
    model.save_pretrained(folder)
    hf.EfficientLoFTRImageProcessorPil(size={"height": 96, "width": 128}).save_pretrained(folder)
    return folder


LABELS = ["person", "bicycle", "cat", "door"]
STAGES = {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 24], "depths": [1] * 4}
FINDER = {
    "encoder_hidden_dim": 32,
    "encoder_ffn_dim": 32,
    "encoder_attention_heads": 2,
    "d_model": 32,
    "num_queries": 12,
    "decoder_in_channels": [32, 32, 32],
    "decoder_ffn_dim": 32,
    "decoder_layers": 2,
    "decoder_attention_heads": 2,
    "num_denoising": 0,
}
SQUARE = {"height": 64, "width": 64}
EDGES = {"shortest_edge": 48, "longest_edge": 80}


@same_each_time
def rt_detr_v2(folder: Path, labels: tuple[str, ...] = tuple(LABELS)) -> Path:
    """The family of the default detector."""
    stages = ["stage2", "stage3", "stage4"]
    backbone = hf.RTDetrResNetConfig(layer_type="basic", out_features=stages, **STAGES)
    config = hf.RTDetrV2Config(
        backbone_config=backbone,
        encoder_in_channels=[12, 16, 24],
        **FINDER,
        **labelled(list(labels)),
    )
    model = hf.RTDetrV2ForObjectDetection(config)
    return saved(folder, model, hf.RTDetrImageProcessorPil(size=SQUARE))


@same_each_time
def d_fine(folder: Path) -> Path:
    stages = ["stage2", "stage3", "stage4"]
    backbone = hf.HGNetV2Config(
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 8, 16, 24],
        stage_mid_channels=[8] * 4,
        stage_out_channels=[8, 16, 24, 32],
        stage_num_blocks=[1] * 4,
        stage_numb_of_layers=[1] * 4,
        stage_downsample=[False, True, True, True],
        stage_light_block=[False, False, True, True],
        stage_kernel_size=[3, 3, 5, 5],
        out_features=stages,
        **{**STAGES, "hidden_sizes": [8, 16, 24, 32]},
    )
    sizes = {**FINDER, "encoder_in_channels": [16, 24, 32], "max_num_bins": 8}
    config = hf.DFineConfig(backbone_config=backbone, **sizes, **labelled(LABELS))
    model = hf.DFineForObjectDetection(config)
    return saved(folder, model, hf.RTDetrImageProcessorPil(size=SQUARE))


@same_each_time
def detr(folder: Path) -> Path:
    config = hf.DetrConfig(
        use_timm_backbone=False,
        backbone_config=hf.ResNetConfig(layer_type="basic", out_features=["stage4"], **STAGES),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=8,
        **labelled(LABELS),
    )
    return saved(folder, hf.DetrForObjectDetection(config), hf.DetrImageProcessorPil(size=EDGES))


@same_each_time
def yolos(folder: Path) -> Path:
    config = hf.YolosConfig(
        image_size=[48, 80], patch_size=16, num_detection_tokens=8, **SIZE, **labelled(LABELS)
    )
    return saved(folder, hf.YolosForObjectDetection(config), hf.YolosImageProcessorPil(size=EDGES))


CASES: dict[str, Case] = {
    "keypoint-matching": Case(no_model, PAIRS, _pairs_of(NO_PICTURES)),
    "object-detection": Case(rt_detr_v2, PICTURES, NO_PICTURES, {"threshold": 0.2}),
}
