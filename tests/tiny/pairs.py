"""Tiny models that read one text or two: answers, inference, likeness, gaps."""

from pathlib import Path
from typing import Any

import transformers as hf

from tests.tiny import text
from tests.tiny.case import Case, Row
from tests.tiny.text import (
    EMPTY_TOO,
    LINES,
    NOT_TEXT,
    SIZE,
    TEXTS,
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


def bert_answerer(folder: Path) -> Path:
    return save(folder, hf.BertForQuestionAnswering(bert_config()), bert_tokenizer())


def roberta_answerer(folder: Path) -> Path:
    tokenizer = byte_tokenizer(hf.RobertaTokenizer)
    config = roberta_config(len(tokenizer))
    return save(folder, hf.RobertaForQuestionAnswering(config), tokenizer)


def distilbert_answerer(folder: Path, kind: Any = hf.DistilBertTokenizer) -> Path:
    tokenizer = kind(vocab=dict(text.wordpieces()), model_max_length=64)
    size = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64}
    config = hf.DistilBertConfig(vocab_size=len(tokenizer), **size)
    return save(folder, hf.DistilBertForQuestionAnswering(config), tokenizer)


def bart_answerer(folder: Path) -> Path:
    return text.bart(folder, hf.BartForQuestionAnswering)


def bert_cross_encoder(folder: Path) -> Path:
    return bert_pairs(folder, labels=("LABEL_0",))


def bert_filler(folder: Path) -> Path:
    return save(folder, hf.BertForMaskedLM(bert_config()), bert_tokenizer())


def roberta_filler(folder: Path) -> Path:
    tokenizer = byte_tokenizer(hf.RobertaTokenizer)
    return save(folder, hf.RobertaForMaskedLM(roberta_config(len(tokenizer))), tokenizer)


def two_bad(one: str, other: str) -> dict[str, Row]:
    """Rows that a task on two texts rejects."""
    return {
        "null_input": {one: "good", other: None},
        "wrong_type": {one: 7, other: "good"},
        "empty_text": {one: " ", other: "good"},
        "invalid_text": {one: "good", other: "a\ud800"},
    }


PAIRED = list(zip(LINES, [*LINES[1:], LINES[0]], strict=True))
GAPS = [{"text": line.replace(word, "___")} for line in LINES for word in ("the", " in ")]
QUESTIONS: list[Row] = [
    {"question": "what is good ?", "context": context}
    for context in [*LINES, " ".join(LINES), " ".join(LINES[::-1])]
]

CASES = {
    "fill-mask": Case(
        bert_filler,
        [row for row in GAPS if "___" in row["text"]],
        {
            **EMPTY_TOO,
            "no_gap": {"text": "nothing is missing here"},
            "too_long": {"text": "good " * 90 + "___"},
        },
    ),
    "natural-language-inference": Case(
        bert_pairs,
        [{"premise": a, "hypothesis": b} for a, b in PAIRED],
        two_bad("premise", "hypothesis"),
    ),
    "question-answering": Case(
        bert_answerer,
        QUESTIONS,
        {
            **two_bad("question", "context"),
            "too_long": {"question": "good " * 40, "context": "good"},
        },
    ),
    "text-ranking": Case(
        bert_cross_encoder,
        [{"query": a, "documents": LINES[:n]} for n, (a, _) in enumerate(PAIRED, 1)],
        {
            "null_input": {"query": None, "documents": ["good"]},
            "wrong_type": {"query": "good", "documents": "good"},
            "empty_text": {"query": "", "documents": ["good"]},
        },
    ),
    "text-similarity": Case(
        bert_encoder,
        [{"text": a, "other_text": b} for a, b in PAIRED],
        two_bad("text", "other_text"),
    ),
    "zero-shot-classification": Case(
        bert_pairs,
        [*TEXTS, *({**row, "candidate_labels": ["good", "a film", "Berlin"]} for row in TEXTS)],
        {
            **NOT_TEXT,
            "empty_text": {"text": " "},
            "bad_labels": {"text": "good", "candidate_labels": ["good", "good"]},
        },
    ),
}
