"""Tiny models that find what phrases name."""

from pathlib import Path

import transformers as hf

from tests.tiny.case import Case, Row
from tests.tiny.comparing import clip_tokenizer
from tests.tiny.detect import SQUARE, same_each_time
from tests.tiny.seeing import NO_PICTURES, PICTURES, SIZE, saved
from tests.tiny.text import bert_tokenizer

PHRASES = [["a cat", "a red sofa"], ["Berlin"], None, ["a dog", "a cat", "brass"], ["a red sofa"]]
ASKED: list[Row] = [
    {**row, "phrases": phrases} for row, phrases in zip(PICTURES, PHRASES, strict=True)
]


@same_each_time
def grounding_dino(folder: Path) -> Path:
    tokenizer = bert_tokenizer()
    text = {**SIZE, "vocab_size": len(tokenizer), "max_position_embeddings": 64}
    backbone = hf.SwinConfig(
        image_size=64,
        patch_size=4,
        embed_dim=16,
        depths=[1] * 4,
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )
    config = hf.GroundingDinoConfig(
        backbone_config=backbone,
        text_config={"model_type": "bert", **text},
        d_model=32,
        num_queries=8,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        max_text_len=32,
    )
    processor = hf.GroundingDinoImageProcessorPil(size={"shortest_edge": 72, "longest_edge": 130})
    return saved(folder, hf.GroundingDinoForObjectDetection(config), processor, tokenizer)


@same_each_time
def owlv2(folder: Path) -> Path:
    tokenizer = clip_tokenizer()
    text = {**SIZE, "vocab_size": len(tokenizer), "max_position_embeddings": 40}
    marks = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos")}
    config = hf.Owlv2Config(
        text_config={**text, **marks},
        vision_config={**SIZE, "image_size": 64, "patch_size": 16},
        projection_dim=32,
    )
    processor = hf.Owlv2ImageProcessorPil(size=SQUARE)
    return saved(folder, hf.Owlv2ForObjectDetection(config), processor, tokenizer)


BAD: dict[str, Row] = {
    **NO_PICTURES,
    "empty_text": {**PICTURES[0], "phrases": ["a cat", "  "]},
    "wrong_type": {**PICTURES[0], "phrases": "a cat"},
    "too_long": {**PICTURES[0], "phrases": ["a cat with a dog"] * 9},
    "invalid_text": {**PICTURES[0], "phrases": ["a cat. a dog"]},
}

CASES: dict[str, Case] = {
    "visual-grounding": Case(grounding_dino, ASKED, BAD, {"threshold": 0.1}),
}
"""The row without phrases takes those of the example."""
