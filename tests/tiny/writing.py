"""Tiny models that write: decoders of many families, chats."""

from pathlib import Path
from typing import Any

import transformers as hf

from tests.tiny.case import Case, Row
from tests.tiny.text import LINES, SIZE, byte_tokenizer, save

ENDS = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
CHAT = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
# Two heads of keys for four of queries, and windows shorter than the prompts, where a family has
# them: what padding could disturb.
WIDE = {
    **SIZE,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "head_dim": 8,
    "max_position_embeddings": 128,
}
WINDOWED = {**WIDE, "sliding_window": 8}
DECODERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "gemma": (hf.GemmaConfig, WIDE),
    "gemma2": (hf.Gemma2Config, WINDOWED),
    "gemma3_text": (hf.Gemma3TextConfig, WINDOWED),
    "gpt2": (hf.GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128}),
    "gpt_neox": (hf.GPTNeoXConfig, {**SIZE, "intermediate_size": 64}),
    "llama": (hf.LlamaConfig, WIDE),
    "mistral": (hf.MistralConfig, WINDOWED),
    "olmo2": (hf.Olmo2Config, {k: v for k, v in WIDE.items() if k != "head_dim"}),
    "opt": (hf.OPTConfig, {**SIZE, "ffn_dim": 64, "word_embed_proj_dim": 32}),
    "phi": (hf.PhiConfig, {**SIZE, "intermediate_size": 64}),
    "phi3": (hf.Phi3Config, {**SIZE, "intermediate_size": 64}),
    "qwen2": (hf.Qwen2Config, WIDE),
    "qwen3": (hf.Qwen3Config, WIDE),
    "smollm3": (hf.SmolLM3Config, WIDE),
}


def decoder(folder: Path, family: str = "llama", chat: bool = False, pad: bool = True) -> Path:
    """A decoder of the family, with a chat template or without, with a padding token or without."""
    tokenizer = byte_tokenizer(hf.GPT2Tokenizer)
    tokenizer.pad_token, tokenizer.eos_token = ("<pad>" if pad else None), "</s>"
    tokenizer.chat_template = CHAT if chat else None
    tokenizer.model_max_length = 128
    kind, settings = DECODERS[family]
    marks = ENDS if pad else {**ENDS, "pad_token_id": None}
    config = kind(vocab_size=len(tokenizer), **settings, **marks)
    return save(folder, hf.AutoModelForCausalLM.from_config(config), tokenizer)


def llama_chat(folder: Path) -> Path:
    return decoder(folder, chat=True)


def gpt2(folder: Path) -> Path:
    """As published: no padding token."""
    return decoder(folder, "gpt2", pad=False)


def asked(*texts: str) -> list[Row]:
    """Messages of a chat: one turn each, the user's first."""
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]


PROMPTS: list[Row] = [
    *({"prompt": line} for line in LINES[:5]),
    {"messages": asked(LINES[5])},
    {"messages": [{"role": "system", "content": "be brief ."}, *asked("good", "why ?", "a film")]},
]
NOT_ASKED: dict[str, Row] = {
    "null_input": {"prompt": None, "messages": None},
    "wrong_type": {"prompt": 7},
    "empty_text": {"prompt": " \n"},
    "two_inputs": {"prompt": "a", "messages": asked("b")},
    "bad_messages": {"messages": [{"role": "user", "content": None}]},
    "too_long": {"prompt": "the film " * 200},
    "invalid_text": {"prompt": "a\ud800b"},
}

CASES = {
    "text-generation": Case(llama_chat, PROMPTS, NOT_ASKED, {"max_new_tokens": 12}),
}
