"""Tiny models that tell of pictures in words."""

from functools import partial
from pathlib import Path
from typing import Any

import transformers as hf

from tests.tiny.case import Case, Row
from tests.tiny.seeing import NO_PICTURES, PICTURES, SIZE, THINGS, saved, sees
from tests.tiny.text import LINES, bert_tokenizer, byte_tokenizer, labelled, wordpieces


def _blip_config() -> Any:
    """BLIP's words end with [SEP] and begin with a mark beyond the tokenizer's."""
    words = len(wordpieces())
    text = {
        "vocab_size": words + 2,
        "encoder_hidden_size": 32,
        "projection_dim": 16,
        "max_position_embeddings": 64,
        "bos_token_id": words,
        "sep_token_id": 3,
        "eos_token_id": 3,
        "pad_token_id": 0,
        **SIZE,
    }
    vision = {"image_size": 32, "patch_size": 8, "projection_dim": 16, **SIZE}
    both = {"projection_dim": 16, "image_text_hidden_size": 16}
    return hf.BlipConfig(text_config=text, vision_config=vision, **both)


def _blip(folder: Path, kind: Any) -> Path:
    processor = hf.BlipProcessor(sees(hf.BlipImageProcessorPil), bert_tokenizer())
    return saved(folder, kind(_blip_config()), processor)


def blip(folder: Path) -> Path:
    return _blip(folder, hf.BlipForConditionalGeneration)


def blip_answerer(folder: Path) -> Path:
    return _blip(folder, hf.BlipForQuestionAnswering)


def vilt(folder: Path, **settings: Any) -> Path:
    """An eye for patches of 8 and questions of 40 tokens."""
    words = {"vocab_size": len(wordpieces()), "max_position_embeddings": 40}
    config = hf.ViltConfig(
        image_size=64, patch_size=8, **words, **SIZE, **labelled(THINGS), **settings
    )
    pictures = hf.ViltImageProcessorPil(size={"shortest_edge": 32}, size_divisor=8)
    tokenizer = bert_tokenizer()
    tokenizer.model_max_length = 40
    model = hf.ViltForQuestionAnswering(config)
    return saved(folder, model, hf.ViltProcessor(pictures, tokenizer))


def git(folder: Path) -> Path:
    vision = {"image_size": 32, "patch_size": 8, **SIZE}
    marks = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    config = hf.GitConfig(
        vision_config=vision,
        vocab_size=len(wordpieces()),
        max_position_embeddings=64,
        **SIZE,
        **marks,
    )
    pictures = hf.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    return saved(folder, hf.GitForCausalLM(config), hf.GitProcessor(pictures, bert_tokenizer()))


def florence(folder: Path) -> Path:
    tokenizer = byte_tokenizer(
        partial(hf.BartTokenizer, extra_special_tokens={"image_token": "<image>"})
    )
    tokenizer.model_max_length = 256
    pictures = sees(hf.CLIPImageProcessorPil, 64, do_center_crop=False)
    pictures.image_seq_length = 5
    stages = {"depths": (1, 1, 1, 1), "num_heads": (1, 1, 2, 2), "num_groups": (1, 1, 2, 2)}
    words = {
        "model_type": "bart",
        "vocab_size": len(tokenizer),
        "d_model": 32,
        **{f"{part}_layers": 2 for part in ("encoder", "decoder")},
        **{f"{part}_attention_heads": 2 for part in ("encoder", "decoder")},
        **{f"{part}_ffn_dim": 64 for part in ("encoder", "decoder")},
        "max_position_embeddings": 256,
        **{"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2},
    }
    config = hf.Florence2Config(
        image_token_id=tokenizer.image_token_id,
        vision_config={
            **stages,
            "embed_dim": (8, 8, 16, 32),
            "window_size": 2,
            "projection_dim": 32,
        },
        text_config=words,
        **{"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2},
    )
    processor = hf.Florence2Processor(pictures, tokenizer)
    return saved(folder, hf.Florence2ForConditionalGeneration(config), processor)


def painted(folder: Path) -> Path:
    """ViT and GPT-2, as captions were written first."""
    tokenizer = byte_tokenizer(hf.GPT2Tokenizer)
    tokenizer.bos_token, tokenizer.eos_token = "<s>", "</s>"
    vision = hf.ViTConfig(image_size=32, patch_size=8, **SIZE)
    words = hf.GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=64)
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(vision, words)
    model = hf.VisionEncoderDecoderModel(config)
    for settings in (model.config, model.generation_config):
        settings.decoder_start_token_id, settings.pad_token_id, settings.eos_token_id = 0, 1, 2
    return saved(folder, model, sees(), tokenizer)


CAPTIONS: list[Row] = [*PICTURES, *({**row, "prompt": "the film was"} for row in PICTURES[:2])]
QUESTIONS: list[Row] = [
    {**row, "question": words}
    for row, words in zip(
        [*PICTURES, *PICTURES[:2]],
        ["what is good ?", "who ?", *LINES[:2], "why ?", "what ?", "where is it again ?"],
        strict=True,
    )
]
NO_QUESTIONS: dict[str, Row] = {
    **{reason: {**row, "question": "why ?"} for reason, row in NO_PICTURES.items()},
    "wrong_type": {**PICTURES[0], "question": 7},
    "empty_text": {**PICTURES[0], "question": " \n"},
    "too_long": {**PICTURES[0], "question": "good " * 60},
    "invalid_text": {**PICTURES[0], "question": "a\ud800"},
}

CASES: dict[str, Case] = {
    "image-captioning": Case(
        blip,
        CAPTIONS,
        {
            **NO_PICTURES,
            "empty_text": {**PICTURES[0], "prompt": " "},
            "too_long": {**PICTURES[0], "prompt": "good " * 60},
        },
        {"max_new_tokens": 8},
    ),
    "visual-question-answering": Case(vilt, QUESTIONS, NO_QUESTIONS),
}
