"""Tiny models that say what happens in a video, and videos for them."""

import json
from pathlib import Path
from typing import Any

import transformers as hf

from tests.tiny.case import Case, no_model
from tests.tiny.films import FILMS, NO_FILMS, film
from tests.tiny.seeing import SIZE, saved
from tests.tiny.text import labelled

ACTIONS = ["falling", "jumping", "pouring", "running", "waving"]
SHAPE = {**SIZE, "image_size": 32, "patch_size": 8, **labelled(ACTIONS)}
SMALL = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}


def videomae(folder: Path, **settings: Any) -> Path:
    """Sees 4 frames of 32 x 32."""
    config = hf.VideoMAEConfig(num_frames=4, tubelet_size=2, **SHAPE, **settings)
    return saved(folder, hf.VideoMAEForVideoClassification(config), _videomae_processor())


def _videomae_processor() -> Any:
    from transformers.models.videomae.image_processing_pil_videomae import (
        VideoMAEImageProcessorPil,
    )

    return VideoMAEImageProcessorPil(**SMALL)


def timesformer(folder: Path) -> Path:
    """Sees 3 frames of 32 x 32."""
    config = hf.TimesformerConfig(num_frames=3, **SHAPE)
    return saved(folder, hf.TimesformerForVideoClassification(config), _videomae_processor())


def vivit(folder: Path) -> Path:
    """Sees 4 frames of 32 x 32, cut from 40; its pixels are shifted."""
    from transformers.models.vivit.image_processing_vivit import VivitImageProcessor

    config = hf.VivitConfig(num_frames=4, tubelet_size=[2, 8, 8], **SHAPE)
    processor = VivitImageProcessor(**{**SMALL, "size": {"shortest_edge": 40}})
    return saved(folder, hf.VivitForVideoClassification(config), processor)


def vjepa2(folder: Path) -> Path:
    """Sees 4 frames of 32 x 32, cut from 36. Its processor needs torchvision, its file does not."""
    small = {k: v for k, v in SIZE.items() if k != "intermediate_size"}
    config = hf.VJEPA2Config(
        **{**small, "patch_size": 8, "crop_size": 32, "frames_per_clip": 4, "mlp_ratio": 2},
        **{"num_pooler_layers": 1, "pred_hidden_size": 32, "pred_num_attention_heads": 2},
        **{"pred_num_hidden_layers": 1, "pred_num_mask_tokens": 1, **labelled(ACTIONS)},
    )
    saved(folder, hf.VJEPA2ForVideoClassification(config))
    stated = {"crop_size": 32, "size": {"shortest_edge": 36}, "resample": 2, "do_normalize": True}
    stated["video_processor_type"] = "VJEPA2VideoProcessor"
    (folder / "video_preprocessor_config.json").write_text(json.dumps(stated))
    return folder


CASES = {
    "video-classification": Case(videomae, FILMS, NO_FILMS, {"clips": 2, "clip_seconds": 0.4}),
    "video-frames": Case(
        no_model,
        FILMS,
        {**NO_FILMS, "too_many_frames": {"video": film(100, codec="mpeg4")}},
        {"frame_rate": 4, "max_frames": 12, "max_side": 48},
    ),
}
