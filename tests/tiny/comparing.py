"""Tiny models that compare pictures with texts."""

from pathlib import Path
from typing import Any

import transformers as hf
from tokenizers.pre_tokenizers import ByteLevel

from tests.tiny.case import Case, Row
from tests.tiny.seeing import NO_PICTURES, PICTURES, SIZE, saved
from tests.tiny.text import LINES, bert_tokenizer, unigram_pieces

SQUARE = {"height": 32, "width": 32}
PATCHES = {"image_size": 32, "patch_size": 8}


def clip_tokenizer() -> Any:
    """Reads byte by byte, 40 tokens at most."""
    letters = sorted(ByteLevel.alphabet())
    marks = ["<|startoftext|>", "<|endoftext|>"]
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), *marks]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    return hf.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=40)


def clip(folder: Path) -> Path:
    tokenizer = clip_tokenizer()
    text = {**SIZE, "vocab_size": len(tokenizer), "max_position_embeddings": 40}
    text |= {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
    config = hf.CLIPConfig(text_config=text, vision_config={**SIZE, **PATCHES}, projection_dim=16)
    processor = hf.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SQUARE)
    return saved(folder, hf.CLIPModel(config), processor, tokenizer)


def siglip_tokenizer(padding_side: str) -> Any:
    pieces = [("<pad>", 0.0), ("<eos>", 0.0), ("<bos>", 0.0), ("<unk>", 0.0)]
    words = [piece for piece in unigram_pieces() if not piece[0].startswith("<")]
    names = [name for name, _ in [*pieces, *words]]
    vocabulary = {name: number for number, name in enumerate(names)}
    settings = {"model_max_length": 64, "model_input_names": ["input_ids"]}
    return hf.Siglip2Tokenizer(vocab=vocabulary, merges=[], padding_side=padding_side, **settings)


def siglip(folder: Path, padding_side: str = "right") -> Path:
    """With the tokenizer of SigLIP 2."""
    tokenizer = siglip_tokenizer(padding_side)
    text = {**SIZE, "vocab_size": len(tokenizer), "projection_size": 32}
    config = hf.SiglipConfig(text_config=text, vision_config={**SIZE, **PATCHES})
    return saved(folder, hf.SiglipModel(config), hf.SiglipImageProcessorPil(size=SQUARE), tokenizer)


def blip(folder: Path) -> Path:
    tokenizer = bert_tokenizer()
    text = {**SIZE, "vocab_size": len(tokenizer), "encoder_hidden_size": 32, "projection_dim": 16}
    text |= {"max_position_embeddings": 64, "sep_token_id": 3, "pad_token_id": 0}
    shared = {"projection_dim": 16, "image_text_hidden_size": 16}
    vision = {**SIZE, **PATCHES, "projection_dim": 16}
    config = hf.BlipConfig(text_config=text, vision_config=vision, **shared)
    processor = hf.BlipImageProcessorPil(size=SQUARE)
    return saved(folder, hf.BlipForImageTextRetrieval(config), processor, tokenizer)


def vilt(folder: Path, **settings: Any) -> Path:
    """Sees pictures in their own shape, 64 pixels high at least."""
    tokenizer = bert_tokenizer()
    size = {"vocab_size": len(tokenizer), "max_position_embeddings": 40}
    config = hf.ViltConfig(**SIZE, **size, **settings, image_size=64, patch_size=16)
    processor = hf.ViltImageProcessorPil(size={"shortest_edge": 64}, size_divisor=16)
    return saved(folder, hf.ViltForImageAndTextRetrieval(config), processor, tokenizer)


PAIRS: list[Row] = [
    {**picture, "text": line} for picture, line in zip(PICTURES, LINES, strict=False)
]
OWN = [{**row, "candidate_labels": ["a disc", "paper", "a red dot"]} for row in PICTURES[:2]]
BAD_LABELS: dict[str, Row] = {
    "bad_labels": {**PICTURES[0], "candidate_labels": ["a", "a"]},
    "too_long": {**PICTURES[0], "candidate_labels": ["a", "long " * 90]},
}

NO_PAIRS: dict[str, Row] = {
    **{reason: {**row, "text": "good"} for reason, row in NO_PICTURES.items()},
    "null_input": {"image": None, "text": None},
    "empty_text": {**PICTURES[0], "text": " "},
    "wrong_type": {**PICTURES[0], "text": 7},
}

CASES = {
    "image-text-retrieval": Case(
        siglip, [*PAIRS, {"image": None, "text": "good"}, {**PICTURES[1], "text": None}], NO_PAIRS
    ),
    "zero-shot-image-classification": Case(clip, [*PICTURES, *OWN], {**NO_PICTURES, **BAD_LABELS}),
}
