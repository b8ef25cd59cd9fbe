"""Tiny models that make pictures or change them."""

from pathlib import Path
from typing import Any

import pytest
import transformers as hf

from tests.tiny.case import Case, Row, no_model
from tests.tiny.comparing import clip_tokenizer
from tests.tiny.seeing import NO_PICTURES, PICTURES, SIZE, saved
from tests.tiny.text import byte_pieces, scatter

BROKEN = {name: row for name, row in NO_PICTURES.items() if name != "image_too_narrow"}
"""What any task rejects that reads a picture, whatever its shape."""


def swin2sr(folder: Path, **settings: Any) -> Path:
    """Doubles a picture's sides. Without shifted windows it sees 16 pixels far at most."""
    config = hf.Swin2SRConfig(
        embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4, upscale=2, **settings
    )
    model = hf.Swin2SRForImageSuperResolution(config)
    return saved(folder, model, hf.Swin2SRImageProcessorPil(), gain=1.0)


def janus(folder: Path) -> Path:
    """Writes a picture of 8 x 8 pixels in 16 tokens."""
    marks = {
        "image_token": "<image_placeholder>",
        "boi_token": "<begin_of_image>",
        "eoi_token": "<end_of_image>",
    }
    vocabulary, merges = byte_pieces()
    tokenizer = hf.GPT2Tokenizer(
        vocab=dict(vocabulary),
        merges=merges,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=marks,
        model_max_length=512,
    )
    numbers = {name: tokenizer.convert_tokens_to_ids(mark) for name, mark in marks.items()}
    text = {
        "model_type": "llama",
        "vocab_size": len(tokenizer),
        **SIZE,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    eye = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        "mlp_ratio": 2.0,
        "projection_dim": 32,
        "num_image_tokens": 16,
    }
    codes = {
        "embed_dim": 8,
        "num_embeddings": 32,
        "latent_channels": 32,
        "base_channels": 32,
        "channel_multiplier": [1, 1],
        "num_res_blocks": 1,
        "num_patches": 4,
        "projection_dim": 32,
        "image_token_embed_dim": 32,
    }
    config = hf.JanusConfig(
        text_config=text,
        vision_config=eye,
        vq_config=codes,
        image_token_id=numbers["image_token"],
    )
    model = hf.JanusForConditionalGeneration(config)
    processor = hf.JanusProcessor(
        hf.JanusImageProcessorPil(image_mean=[0.5] * 3, image_std=[0.5] * 3),
        tokenizer,
        num_image_tokens=16,
    )
    return saved(folder, model, processor)


def stable_diffusion(folder: Path) -> Path:
    """Paints 16 x 16 pixels after a prompt of 40 tokens; without a safety checker."""
    diffusers = pytest.importorskip("diffusers")
    text = hf.CLIPTextConfig(
        hidden_size=32,
        intermediate_size=64,
        num_attention_heads=2,
        num_hidden_layers=1,
        vocab_size=len(clip_tokenizer()),
        projection_dim=32,
        max_position_embeddings=40,
    )
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=4,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(16, 16),
        norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
    )
    diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=scatter(hf.CLIPTextModel(text)),
        tokenizer=clip_tokenizer(),
        unet=unet,
        scheduler=diffusers.DDIMScheduler(clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
    ).save_pretrained(folder)
    return folder


def ddpm(folder: Path) -> Path:
    """Paints 16 x 16 pixels."""
    diffusers = pytest.importorskip("diffusers")
    unet = diffusers.UNet2DModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=16,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4,
    )
    diffusers.DDPMPipeline(unet=unet, scheduler=diffusers.DDPMScheduler()).save_pretrained(folder)
    return folder


PROMPTS: list[Row] = [
    {"prompt": "a red sofa"},
    {"prompt": "a red sofa", "seed": 3},
    {"prompt": "the acting was superb and the film was wonderful"},
    {"prompt": "אבג 🐱 \0", "seed": None, "negative_prompt": None},
    {"prompt": "good", "seed": -1},
]


CASES: dict[str, Case] = {
    "image-resizing": Case(no_model, PICTURES, BROKEN, {"max_side": 48, "format": "png"}),
    "image-generation": Case(
        ddpm,
        [{"seed": seed} for seed in (0, 7, -3, 2**63 - 1)],
        {"null_input": {"seed": None}},
        {"steps": 3},
    ),
    "image-to-image": Case(swin2sr, PICTURES, BROKEN, {"tile": 96}),
    "text-to-image": Case(
        janus,
        PROMPTS,
        {
            "null_input": {"prompt": None},
            "empty_text": {"prompt": " \n"},
            "invalid_text": {"prompt": "half \ud800"},
            "too_long": {"prompt": "good " * 60},
            "unused_negative_prompt": {"prompt": "a cat", "negative_prompt": "a dog"},
        },
    ),
}
