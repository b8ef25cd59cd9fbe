"""Tiny models of masks, depth and space."""

from pathlib import Path
from typing import Any

import transformers as hf

from actors.stage import ModelFiles
from tests.tiny.case import Case, Row, no_model
from tests.tiny.detect import rt_detr_v2
from tests.tiny.seeing import NO_PICTURES, PICTURES, THINGS, saved, sees
from tests.tiny.text import labelled
from tests.tiny.views import views

SWIN = {
    "image_size": 64,
    "patch_size": 4,
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 2, 2],
    "window_size": 4,
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
SIDES = {"size": {"shortest_edge": 64, "longest_edge": 128}, "size_divisor": 32}


def segformer(folder: Path) -> Path:
    """Tells THINGS apart, pixel by pixel."""
    config = hf.SegformerConfig(
        num_encoder_blocks=4,
        depths=[1] * 4,
        hidden_sizes=[8, 16, 24, 32],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        **labelled(THINGS),
    )
    model = hf.SegformerForSemanticSegmentation(config)
    return saved(folder, model, sees(hf.SegformerImageProcessorPil, 64))


def mask2former(folder: Path) -> Path:
    """Proposes eight masks."""
    config = hf.Mask2FormerConfig(
        backbone_config=hf.SwinConfig(**SWIN),
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=32,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=32,
        num_queries=8,
        **labelled(THINGS),
    )
    model = hf.Mask2FormerForUniversalSegmentation(config)
    return saved(folder, model, hf.Mask2FormerImageProcessorPil(**SIDES), gain=1.6)


def maskformer(folder: Path) -> Path:
    """Proposes eight masks."""
    decoder = hf.DetrConfig(
        use_timm_backbone=False,
        backbone_config=hf.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1]),
        d_model=32,
        decoder_layers=1,
        decoder_ffn_dim=32,
        decoder_attention_heads=2,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        num_queries=8,
    )
    config = hf.MaskFormerConfig(
        backbone_config=hf.SwinConfig(**SWIN),
        decoder_config=decoder,
        fpn_feature_size=32,
        mask_feature_size=32,
        **labelled(THINGS),
    )
    model = hf.MaskFormerForInstanceSegmentation(config)
    return saved(folder, model, hf.MaskFormerImageProcessorPil(**SIDES), gain=1.6)


def eomt(folder: Path, **settings: Any) -> Path:
    """Proposes eight masks of a picture padded to a square."""
    config = hf.EomtConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=64,
        patch_size=8,
        num_blocks=1,
        num_queries=8,
        num_upscale_blocks=1,
        **labelled(THINGS),
    )
    side = {"shortest_edge": 64, "longest_edge": 64}
    processor = hf.EomtImageProcessorPil(size=side, do_pad=True, **settings)
    return saved(folder, hf.EomtForUniversalSegmentation(config), processor, gain=1.6)


FUSED = {"neck_hidden_sizes": [8, 12, 16, 16], "fusion_hidden_size": 16}
STAGES = ["stage1", "stage2", "stage3", "stage4"]


def depth_anything(folder: Path, **settings: Any) -> Path:
    """Relative depths, or metres."""
    backbone = hf.Dinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=70,
        patch_size=14,
        out_features=STAGES,
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = hf.DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=14,
        reassemble_hidden_size=32,
        head_hidden_size=8,
        **FUSED,
        **settings,
    )
    processor = sees(hf.DPTImageProcessorPil, 70, keep_aspect_ratio=True, ensure_multiple_of=14)
    return saved(folder, hf.DepthAnythingForDepthEstimation(config), processor)


def metric_depth(folder: Path) -> Path:
    """Depths in metres, 1 at most: rounding is a part of the largest."""
    return depth_anything(folder, depth_estimation_type="metric", max_depth=1)


def dpt(folder: Path) -> Path:
    """Relative depths of squares."""
    config = hf.DPTConfig(
        image_size=32,
        patch_size=8,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        backbone_out_indices=[0, 1, 2, 3],
        is_hybrid=False,
        **FUSED,
    )
    return saved(folder, hf.DPTForDepthEstimation(config), sees(hf.DPTImageProcessorPil))


def glpn(folder: Path) -> Path:
    """Depths in metres, of pictures as large as they are."""
    config = hf.GLPNConfig(
        depths=[1] * 4,
        hidden_sizes=[8, 16, 24, 32],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
    )
    return saved(folder, hf.GLPNForDepthEstimation(config), hf.GLPNImageProcessorPil())


def zoedepth(folder: Path, kinds: int = 1) -> Path:
    """Depths in metres, for so many kinds of scenes."""
    backbone = hf.BeitConfig(
        image_size=32,
        patch_size=8,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        use_relative_position_bias=True,
        reshape_hidden_states=False,
        out_features=STAGES,
    )
    bins = [
        {"n_bins": 8, "min_depth": 0.001, "max_depth": 10.0, "name": f"kind{n}"}
        for n in range(kinds)
    ]
    config = hf.ZoeDepthConfig(
        backbone_config=backbone,
        bottleneck_features=16,
        num_attractors=[4, 2, 2, 1],
        bin_embedding_dim=16,
        num_patch_transformer_layers=1,
        patch_transformer_hidden_size=16,
        patch_transformer_intermediate_size=16,
        patch_transformer_num_attention_heads=2,
        bin_configurations=bins,
        **FUSED,
    )
    processor = hf.ZoeDepthImageProcessorPil(
        size={"height": 32, "width": 32}, keep_aspect_ratio=False, ensure_multiple_of=32
    )
    return saved(folder, hf.ZoeDepthForDepthEstimation(config), processor)


def sam(folder: Path) -> Path:
    """Outlines what is marked, in squares of 64."""
    layers = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = hf.SamConfig(
        vision_config={
            **layers,
            "image_size": 64,
            "patch_size": 8,
            "output_channels": 32,
            "num_pos_feats": 16,
            "window_size": 4,
            "global_attn_indexes": [1],
            "mlp_ratio": 2.0,
        },
        prompt_encoder_config={
            "hidden_size": 32,
            "image_size": 64,
            "patch_size": 8,
            "mask_input_channels": 4,
        },
        mask_decoder_config={**layers, "mlp_dim": 32, "iou_head_hidden_dim": 32},
    )
    processor = hf.SamImageProcessorPil(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}
    )
    return saved(folder, hf.SamModel(config), processor)


MARKS: list[dict[str, Any]] = [
    {"points": [{"x": 10, "y": 12, "positive": True}, {"x": 20, "y": 9, "positive": None}]},
    {"boxes": [{"xmin": 4, "ymin": 6, "xmax": 30, "ymax": 40}]},
    {
        "points": [{"x": 3, "y": 3, "positive": True}],
        "boxes": [{"xmin": 0, "ymin": 0, "xmax": 20, "ymax": 30}],
    },
    {"points": []},
    {},
]
"""Prompts for PICTURES, by points, boxes, both, none, and for everything."""


def seer(folder: Path) -> ModelFiles:
    """A model of depth in metres, and a detector."""
    return ModelFiles(metric_depth(folder / "depth"), {"detector": rt_detr_v2(folder / "detector")})


def _alone(row: Row) -> Row:
    """A row without what other stages might have said."""
    names = ("detections", "depth", "depth_min", "depth_max", "depth_unit")
    return {**dict.fromkeys(names), **row}


LOW = {"threshold": 0.2, "overlap_threshold": 0.0}
"""Bounds that let a random model's segments through."""

CASES: dict[str, Case] = {
    "image-segmentation": Case(mask2former, PICTURES, NO_PICTURES, {**LOW, "map": True}),
    "depth-estimation": Case(depth_anything, PICTURES, NO_PICTURES, {"format": "npy"}),
    "mask-generation": Case(
        sam,
        [
            {"points": None, "boxes": None, "detections": None, **picture, **marks}
            for picture, marks in zip(PICTURES, MARKS, strict=True)
        ],
        {
            **{
                reason: {"points": None, "boxes": None, "detections": None, **row}
                for reason, row in NO_PICTURES.items()
            },
            "bad_prompt": {
                **PICTURES[0],
                "points": [{"x": 500, "y": 3, "positive": True}],
                "boxes": None,
                "detections": None,
            },
        },
        {"points_per_side": 4, "min_score": 0.0, "min_stability": 0.0},
    ),
    "reconstruction-3d": Case(
        no_model,
        [{"image": None, **views(1)}, {"image": None, **views(2, 2)}],
        {
            "null_input": {"image": None, "images": None},
            "too_few_views": {"image": None, "images": [PICTURES[0]["image"]]},
            "empty_file": {"image": None, "images": [PICTURES[0]["image"], b""]},
            "too_few_matches": {"image": None, "images": [one["image"] for one in PICTURES[:2]]},
        },
        {"max_keypoints": 250},
    ),
    "scene-understanding": Case(
        seer,
        [_alone(row) for row in PICTURES],
        {
            **{reason: _alone(row) for reason, row in NO_PICTURES.items()},
            "bad_depth": {**_alone(PICTURES[0]), "depth": b"no map"},
        },
        {"threshold": 0.2, "max_objects": 5},
    ),
}
