"""Tiny models that read one text or two: answers, inference, likeness, gaps."""

from pathlib import Path
from typing import Any

import transformers as hf

from tests.tiny import text
from tests.tiny.case import Case, Row
from tests.tiny.text import (
    BERT_SIZE,
    EMPTY_TOO,
    LINES,
    SIZE,
    bart_config,
    bert_config,
    bert_encoder,
    bert_tokenizer,
    byte_tokenizer,
    labelled,
    roberta_config,
    save,
)

INFERENCE = ["CONTRADICTION", "Entailment", "neutral"]
RELATIVE = {
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 16,
    "max_relative_positions": -1,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "position_biased_input": False,
}


def bert_pairs(folder: Path, labels: tuple[str, ...] = tuple(INFERENCE)) -> Path:
    config = bert_config(**labelled(list(labels)))
    return save(folder, hf.BertForSequenceClassification(config), bert_tokenizer())


def roberta_pairs(folder: Path, labels: tuple[str, ...] = tuple(INFERENCE)) -> Path:
    tokenizer = byte_tokenizer(hf.RobertaTokenizer)
    config = roberta_config(len(tokenizer), **labelled(list(labels)))
    return save(folder, hf.RobertaForSequenceClassification(config), tokenizer)


def deberta_tokenizer() -> Any:
    pieces = [("[PAD]", 0.0), ("[CLS]", 0.0), ("[SEP]", 0.0), ("[UNK]", 0.0)]
    pieces += [piece for piece in text.unigram_pieces() if not piece[0].startswith("<")]
    tokenizer = hf.DebertaV2Tokenizer(vocab=[*pieces, ("[MASK]", 0.0)], unk_id=3)
    tokenizer.model_max_length = 64
    return tokenizer


def deberta_pairs(folder: Path, labels: tuple[str, ...] = tuple(INFERENCE)) -> Path:
    tokenizer = deberta_tokenizer()
    size = {**SIZE, "intermediate_size": 64, "max_position_embeddings": 64, "type_vocab_size": 0}
    config = hf.DebertaV2Config(
        vocab_size=len(tokenizer), pad_token_id=0, **size, **RELATIVE, **labelled(list(labels))
    )
    return save(folder, hf.DebertaV2ForSequenceClassification(config), tokenizer)


def bart_pairs(folder: Path, labels: tuple[str, ...] = tuple(INFERENCE)) -> Path:
    tokenizer = byte_tokenizer(hf.BartTokenizer)
    config = bart_config(hf.BartConfig, len(tokenizer))
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    return save(folder, hf.BartForSequenceClassification(config), tokenizer)
