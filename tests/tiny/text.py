"""Tiny text models: two layers of 32, with tokenizers made from a page of words."""

import json
import math
import string
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers as hf

from tests.tiny.case import Case, Row

LINES = [
    "the film was wonderful and the acting was superb ; I would watch it again .",
    "good",
    "Apple opened an office in Paris in 2021 while Siemens stayed in Berlin .",
    "Ada Lovelace was born in London and worked with Charles Babbage on a machine of brass .",
    "the battery died after two days and support was useless .",
    "what is the capital of France ? Paris is the capital of France . Berlin is in Germany .",
    "Maria Jansen lives at 12 Harbour Street , Bristol , with a cat , a dog and a red sofa .",
    "summarize : the contract was signed by both parties and it will last for four years .",
]
NER_LABELS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
BERT_SIZE = {**SIZE, "intermediate_size": 64, "max_position_embeddings": 64}


def scatter(model: Any, gain: float = 1.3) -> Any:
    """Rescale random weights so that answers differ between rows; as initialised, they hardly do,
    and a test would not see rows swapped."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() >= 2:
                scale = gain / math.sqrt(weight[0].numel())
                weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
            elif name.endswith("bias"):
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    return model.eval()


@cache
def wordpieces() -> dict[str, int]:
    """Whole words for most of LINES' words, and letters for all others."""
    letters = string.ascii_lowercase + string.digits
    words = sorted({word.lower() for line in LINES for word in line.split() if word.islower()})
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *".,;:?!'-"]
    pieces = [*marks, *letters, *(f"##{letter}" for letter in letters), *words]
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}


@cache
def byte_pieces() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a byte-level BPE of 400 pieces."""
    from tokenizers import ByteLevelBPETokenizer

    trainer = ByteLevelBPETokenizer()
    marks = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer.train_from_iterator(LINES, vocab_size=400, special_tokens=marks, show_progress=False)
    found = json.loads(trainer.to_str())["model"]
    return found["vocab"], [tuple(merge) for merge in found["merges"]]


@cache
def unigram_pieces() -> list[tuple[str, float]]:
    """LINES' words, and single characters at a lower score; trained ones differ run by run."""
    words = sorted({f"▁{word}" for line in LINES for word in line.split()})
    letters = ["▁", *string.ascii_letters, *string.digits, *".,;:?!"]
    marks = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    return [*marks, *((word, -3.0) for word in words), *((letter, -6.0) for letter in letters)]


def bert_tokenizer() -> Any:
    return hf.BertTokenizer(vocab=dict(wordpieces()), model_max_length=64)


def byte_tokenizer(kind: Any) -> Any:
    vocabulary, merges = byte_pieces()
    return kind(vocab=dict(vocabulary), merges=list(merges), model_max_length=64)


def t5_tokenizer() -> Any:
    return hf.T5Tokenizer(vocab=unigram_pieces(), extra_ids=10, model_max_length=128)


def labelled(labels: list[str]) -> dict[str, Any]:
    return {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}


def save(folder: Path, model: Any, tokenizer: Any) -> Path:
    scatter(model).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def bert_config(**settings: Any) -> Any:
    return hf.BertConfig(vocab_size=len(wordpieces()), **{**BERT_SIZE, **settings})


def bert_classifier(folder: Path, labels: int = 3, **settings: Any) -> Path:
    config = bert_config(**labelled([f"label {n}" for n in range(labels)]), **settings)
    return save(folder, hf.BertForSequenceClassification(config), bert_tokenizer())


def bert_ner(folder: Path) -> Path:
    model = hf.BertForTokenClassification(bert_config(**labelled(NER_LABELS)))
    return save(folder, model, bert_tokenizer())


def bert_encoder(folder: Path) -> Path:
    return save(folder, hf.BertModel(bert_config()), bert_tokenizer())


def roberta_config(vocabulary: int, **settings: Any) -> Any:
    # Two positions more than tokens: RoBERTa's never use the first two.
    size = {**BERT_SIZE, "max_position_embeddings": 66}
    return hf.RobertaConfig(vocab_size=vocabulary, **{**size, **settings})


def roberta_classifier(folder: Path, **settings: Any) -> Path:
    tokenizer = byte_tokenizer(hf.RobertaTokenizer)
    config = roberta_config(len(tokenizer), **labelled(["bad", "fair", "good"]), **settings)
    return save(folder, hf.RobertaForSequenceClassification(config), tokenizer)


def roberta_ner(folder: Path) -> Path:
    tokenizer = byte_tokenizer(hf.RobertaTokenizer)
    config = roberta_config(len(tokenizer), **labelled(NER_LABELS))
    return save(folder, hf.RobertaForTokenClassification(config), tokenizer)


def roberta_encoder(folder: Path) -> Path:
    tokenizer = byte_tokenizer(hf.RobertaTokenizer)
    return save(folder, hf.RobertaModel(roberta_config(len(tokenizer))), tokenizer)


BART_SIZE = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
}


def bart_config(kind: Any, vocabulary: int) -> Any:
    marks = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    return kind(vocab_size=vocabulary, forced_eos_token_id=2, **marks, **BART_SIZE)


def bart(folder: Path, kind: Any = None, config: Any = None) -> Path:
    tokenizer = byte_tokenizer(hf.BartTokenizer)
    settings = bart_config(config or hf.BartConfig, len(tokenizer))
    return save(folder, (kind or hf.BartForConditionalGeneration)(settings), tokenizer)


def t5(folder: Path, kind: Any = None, config: Any = None) -> Path:
    tokenizer = t5_tokenizer()
    settings = (config or hf.T5Config)(
        vocab_size=len(tokenizer),
        **{"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
        **{"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1},
    )
    return save(folder, (kind or hf.T5ForConditionalGeneration)(settings), tokenizer)


TEXTS = [{"text": line} for line in LINES]
NOT_TEXT: dict[str, Row] = {"null_input": {"text": None}, "wrong_type": {"text": 7}}
EMPTY_TOO: dict[str, Row] = {**NOT_TEXT, "empty_text": {"text": " \n\t"}}

CASES = {
    "ner": Case(bert_ner, TEXTS, NOT_TEXT),
    "summarization": Case(bart, TEXTS, NOT_TEXT, {"max_new_tokens": 8}),
    "text-classification": Case(bert_classifier, TEXTS, EMPTY_TOO),
    "text-embedding": Case(bert_encoder, TEXTS, EMPTY_TOO),
}
