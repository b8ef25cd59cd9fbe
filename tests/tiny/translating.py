"""Tiny models that translate: Marian, M2M100, NLLB, mBART-50, MADLAD."""

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
import transformers as hf

from tests.tiny.case import Case, Row
from tests.tiny.text import BART_SIZE, LINES, byte_pieces, save, scatter, unigram_pieces


@cache
def sentence_pieces() -> bytes:
    """A sentencepiece model of 200 pieces."""
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES * 20),
        model_writer=made,
        vocab_size=200,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return made.getvalue()


def _spm(folder: Path, *names: str) -> dict[str, int]:
    """Write the model under these names; return its pieces' numbers, </s> and <unk> first."""
    for name in names:
        (folder / name).write_bytes(sentence_pieces())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=sentence_pieces())
    known = ["</s>", "<unk>", *(pieces.id_to_piece(n) for n in range(len(pieces)))]
    return {piece: number for number, piece in enumerate(dict.fromkeys(known))}


def _config(kind: Any, tokenizer: Any, **settings: Any) -> Any:
    marks = {
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": tokenizer.eos_token_id,
    }
    return kind(**{"vocab_size": len(tokenizer), **BART_SIZE, **marks, **settings})


def _save(folder: Path, model: Any, tokenizer: Any) -> Path:
    """Save with larger weights than usual: answers that begin alike would go on alike."""
    scatter(model, 3.0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def marian(folder: Path, targets: tuple[str, ...] = ()) -> Path:
    """A Marian model of one pair, or of several targets."""
    known = _spm(folder, "source.spm", "target.spm")
    for piece in [*(f">>{code}<<" for code in targets), "<pad>"]:
        known[piece] = len(known)
    (folder / "vocab.json").write_text(json.dumps(known), "utf-8")
    files = {"source_spm": f"{folder}/source.spm", "target_spm": f"{folder}/target.spm"}
    tokenizer = hf.MarianTokenizer(
        **files,
        vocab=f"{folder}/vocab.json",
        source_lang="en",
        target_lang="mul" if targets else "de",
        model_max_length=64,
    )
    start = {"decoder_start_token_id": tokenizer.pad_token_id}
    config = _config(hf.MarianConfig, tokenizer, vocab_size=len(known), **start)
    return _save(folder, hf.MarianMTModel(config), tokenizer)


def m2m100(folder: Path) -> Path:
    known = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    for piece in _spm(folder, "sentencepiece.bpe.model"):
        known.setdefault(piece, len(known))
    (folder / "vocab.json").write_text(json.dumps(known), "utf-8")
    tokenizer = hf.M2M100Tokenizer(
        vocab_file=f"{folder}/vocab.json",
        spm_file=f"{folder}/sentencepiece.bpe.model",
        model_max_length=64,
    )
    # Beyond the pieces stand 100 languages and 8 words that fill up.
    config = _config(hf.M2M100Config, tokenizer, vocab_size=len(known) + 108)
    return _save(folder, hf.M2M100ForConditionalGeneration(config), tokenizer)


def nllb(folder: Path) -> Path:
    vocabulary, merges = byte_pieces()
    tokenizer = hf.NllbTokenizer(
        vocab=dict(vocabulary), merges=list(merges), src_lang="eng_Latn", model_max_length=128
    )
    config = _config(hf.M2M100Config, tokenizer, max_position_embeddings=128)
    return _save(folder, hf.M2M100ForConditionalGeneration(config), tokenizer)


def mbart50(folder: Path) -> Path:
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *unigram_pieces()[3:]]
    tokenizer = hf.MBart50Tokenizer(vocab=pieces, src_lang="en_XX", model_max_length=64)
    config = _config(hf.MBartConfig, tokenizer)
    return _save(folder, hf.MBartForConditionalGeneration(config), tokenizer)


def madlad(folder: Path) -> Path:
    """T5 with a token for each target."""
    tokenizer = hf.T5Tokenizer(vocab=unigram_pieces(), extra_ids=10, model_max_length=128)
    tokenizer.add_tokens(["<2de>", "<2fr>"])
    config = hf.T5Config(
        vocab_size=len(tokenizer),
        **{"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
        **{"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1},
    )
    return save(folder, hf.T5ForConditionalGeneration(config), tokenizer)


TWO = {"text": f"{LINES[0]} {LINES[2]}\n\n{LINES[1]}"}
ROWS: list[Row] = [
    *({"text": line} for line in LINES),
    {**TWO, "target_language": "fra_Latn", "source_language": "de"},
    {"text": LINES[3], "target_language": "fr"},
]
BAD: dict[str, Row] = {
    "null_input": {"text": None},
    "wrong_type": {"text": 7},
    "unknown_language": {"text": "good", "target_language": "klingon"},
    "invalid_text": {"text": "a\ud800b"},
    "too_long": {"text": "Good film. " * 50},
}

CASES = {
    "translation": Case(m2m100, ROWS, BAD, {"max_new_tokens": 8, "max_parts": 40}),
}
