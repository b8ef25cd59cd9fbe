"""Tiny models that read: PP-OCR, TrOCR, Donut; and pages for them."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from PIL import Image, ImageDraw, ImageFont

from actors.stage import ModelFiles
from tests.tiny.case import Case, Row
from tests.tiny.text import byte_tokenizer, save, scatter

ALPHABET = ["blank", *"abcdefghijklmnopqrstuvwxyz", " "]
VIT_SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
BACKBONE = {
    "model_type": "pp_lcnet_v4",
    "stem_channels": [3, 8, 8],
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}


def page(*lines: str, size: tuple[int, int] = (320, 224), seed: int = 0) -> Image.Image:
    """A page with lines of text on paper that is not quite white."""
    paper = np.random.default_rng(seed).integers(235, 256, (size[1], size[0]), dtype=np.uint8)
    image = Image.fromarray(paper)
    for number, line in enumerate(lines):
        font = ImageFont.load_default(20)
        ImageDraw.Draw(image).text((20, 20 + 40 * number), line, fill=10, font=font)
    return image.convert("RGB")


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def detector(folder: Path, blind: bool = False) -> Path:
    """A detector with random weights: some heat everywhere, or nowhere if `blind`."""
    blocks = [[[3, 8 * 2 ** max(0, n - 1), 8 * 2**n, 2 if n else 1, n > 1]] for n in range(4)]
    backbone = hf.PPLCNetV4Config(
        **{**BACKBONE, "stem_strides": [2, 1, 1, 2, 1]}, block_configs=blocks
    )
    config = hf.PPOCRV6SmallDetConfig(
        backbone_config=backbone,
        layer_list_out_channels=[8, 16, 32, 64],
        neck_out_channels=16,
        reduction=4,
        dilated_kernel_size=7,
        kernel_list=[3, 2, 2],
    )
    model = _norms(scatter(hf.PPOCRV6SmallDetForObjectDetection(config), 1.15))
    with torch.no_grad():
        model.head.conv_final.weight *= 3
    if blind:
        torch.nn.init.zeros_(model.head.conv_final.weight)
        torch.nn.init.constant_(model.head.conv_final.bias, -20)
    model.save_pretrained(folder)
    return folder


def reader(folder: Path) -> Path:
    """A recogniser of the 27 characters of ALPHABET with random weights."""
    blocks = [
        [[3, 8, 8, 1, True]],
        [[3, 8, 16, [2, 1], False]],
        [[3, 16, 16, [1, 2], False]],
        [[3, 16, 32, [2, 1], True]],
    ]
    backbone = hf.PPLCNetV4Config(
        **{**BACKBONE, "out_features": ["stage4"], "stem_strides": [2, 1, 1, 2, 1]},
        block_configs=blocks,
    )
    config = hf.PPOCRV6SmallRecConfig(
        backbone_config=backbone,
        hidden_size=16,
        num_attention_heads=2,
        head_out_channels=len(ALPHABET),
    )
    _norms(scatter(hf.PPOCRV6SmallRecForTextRecognition(config), 1.3)).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(ALPHABET), "utf-8")
    return folder


def pp_ocr(folder: Path, blind: bool = False) -> ModelFiles:
    """Both of them."""
    finds = detector(folder / "detector", blind)
    return ModelFiles(reader(folder / "reader"), {"detector": finds})


def _decoder(tokenizer: Any) -> Any:
    return hf.TrOCRConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=64,
        max_position_embeddings=64,
        cross_attention_hidden_size=32,
    )


def _writer(folder: Path, encoder: Any, processor: Any) -> Path:
    """A vision-encoder-decoder that starts and ends with </s>."""
    tokenizer = byte_tokenizer(hf.RobertaTokenizer)
    parts = (encoder, _decoder(tokenizer))
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(*parts)
    model = hf.VisionEncoderDecoderModel(config)
    model.generation_config.decoder_start_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    processor.save_pretrained(folder)
    return save(folder, model, tokenizer)


def trocr(folder: Path) -> ModelFiles:
    """A reader of lines that writes tokens, and a detector."""
    encoder = hf.ViTConfig(image_size=32, patch_size=8, **VIT_SIZE)
    size = {"height": 32, "width": 32}
    processor = hf.ViTImageProcessorPil(size=size)
    lines = _writer(folder / "reader", encoder, processor)
    return ModelFiles(lines, {"detector": detector(folder / "detector")})


def donut(folder: Path) -> Path:
    """A reader of whole pages."""
    encoder = hf.DonutSwinConfig(
        image_size=64, patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[1, 2], window_size=4
    )
    processor = hf.DonutImageProcessorPil(size={"height": 64, "width": 64})
    return _writer(folder, encoder, processor)


def got(folder: Path) -> Path:
    """A chat model that reads pages: 256 image tokens, one layer each of sight and speech."""
    tokenizer = byte_tokenizer(hf.RobertaTokenizer)
    marks = ["<|im_start|>", "<|im_end|>", "<img>", "</img>", "<imgpad>"]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    vision = {**VIT_SIZE, "num_hidden_layers": 1, "mlp_dim": 64, "output_channels": 16}
    words = {**VIT_SIZE, "num_hidden_layers": 1, "num_key_value_heads": 2}
    config = hf.GotOcr2Config(
        vision_config={**vision, "image_size": 256, "patch_size": 4, "global_attn_indexes": [0]},
        text_config={"model_type": "qwen2", "vocab_size": len(tokenizer), **words},
        image_token_index=tokenizer.convert_tokens_to_ids("<imgpad>"),
    )
    pictures = hf.GotOcr2ImageProcessorPil(size={"height": 256, "width": 256})
    hf.GotOcr2Processor(pictures, tokenizer).save_pretrained(folder)
    return save(folder, hf.GotOcr2ForConditionalGeneration(config), tokenizer)


TEMPLATE = (
    "{% for m in messages %}User: {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


def idefics(folder: Path) -> Path:
    """A chat model that is asked through a chat template and cuts pages into tiles."""
    tokenizer = byte_tokenizer(hf.GPT2Tokenizer)
    tokenizer.pad_token, tokenizer.model_max_length = "<pad>", 2048
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]
    marks = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", *tiles]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    longest = [{"longest_edge": side} for side in (64, 32)]
    pictures = hf.Idefics3ImageProcessorPil(size=longest[0], max_image_size=longest[1])
    hf.Idefics3Processor(
        pictures, tokenizer, image_seq_len=4, chat_template=TEMPLATE
    ).save_pretrained(folder)
    words = {**VIT_SIZE, "num_key_value_heads": 2, "max_position_embeddings": 2048}
    config = hf.Idefics3Config(
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_config={"image_size": 32, "patch_size": 8, **VIT_SIZE},
        text_config={"model_type": "llama", "vocab_size": len(tokenizer), **words},
        scale_factor=2,
        pad_token_id=1,
    )
    return save(folder, hf.Idefics3ForConditionalGeneration(config), tokenizer)


def _norms(model: Any) -> Any:
    """Give batch norms statistics of their own, so that folding them in is put to the test."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model


PAGES = [
    {"image": png(page("a page", "of text", size=size, seed=seed))}
    for seed, size in enumerate([(160, 96), (96, 160), (160, 96), (128, 128)])
]
NO_PAGES: dict[str, Row] = {
    "null_input": {"image": None},
    "wrong_type": {"image": 7},
    "empty_file": {"image": b""},
    "unreadable_image": {"image": b"not a picture"},
    "truncated_image": {"image": PAGES[0]["image"][:2000]},
}

CASES = {"ocr": Case(pp_ocr, PAGES, NO_PAGES)}
