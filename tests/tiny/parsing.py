"""Tiny models that take texts apart: taggers, spaCy pipelines without weights."""

import json
from pathlib import Path
from typing import Any

import transformers as hf
from safetensors.torch import save_file

from tests.tiny.case import Case, Row
from tests.tiny.text import (
    LINES,
    SIZE,
    bert_config,
    bert_tokenizer,
    byte_tokenizer,
    labelled,
    roberta_config,
    save,
    scatter,
    t5_tokenizer,
)

TAGS = ["NOUN", "VERB", "ADJ", "PUNCT", "DET", "HYPH"]
NOT_TEXTS: dict[str, Row] = {
    "null_input": {"text": None},
    "wrong_type": {"text": 7},
    "invalid_text": {"text": "a\udc00"},
}
LONG = " ".join(LINES)
TEXTS = [*LINES, LONG, "", "  \n"]


def bert_tagger(folder: Path) -> Path:
    model = hf.BertForTokenClassification(bert_config(**labelled(TAGS)))
    return save(folder, model, bert_tokenizer())


def roberta_tagger(folder: Path) -> Path:
    tokenizer = byte_tokenizer(hf.RobertaTokenizer)
    config = roberta_config(len(tokenizer), **labelled(TAGS))
    return save(folder, hf.RobertaForTokenClassification(config), tokenizer)


def sentencizer(folder: Path) -> Path:
    """A spaCy pipeline that knows where sentences end, and nothing else."""
    import spacy

    nlp: Any = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(folder)
    return folder


def bert_words(folder: Path) -> Path:
    """A tokenizer and nothing else."""
    bert_tokenizer().save_pretrained(folder)
    return folder


def byte_words(folder: Path) -> Path:
    byte_tokenizer(hf.RobertaTokenizer).save_pretrained(folder)
    return folder


def python_words(folder: Path) -> Path:
    """A tokenizer that is written in Python, and so tells no offsets."""
    hf.ByT5Tokenizer().save_pretrained(folder)
    return folder


def unigram_words(folder: Path) -> Path:
    t5_tokenizer().save_pretrained(folder)
    return folder


COREFERENCE = {
    **{"max_span_length": 6, "top_lambda": 0.4, "ffnn_size": 24, "dropout_prob": 0.3},
    "max_segment_len": 48,
}


# Taken from each mention's score, so that not all of them hang together.
DOUBT = 20.0


def resolver(folder: Path) -> Path:
    """A model of F-coref's kind: RoBERTa with the head that scores mentions by their ends."""
    from actors.texts.coreference import Head

    tokenizer = byte_tokenizer(hf.RobertaTokenizer)
    tokenizer.save_pretrained(folder)
    config = roberta_config(len(tokenizer), coref_head=COREFERENCE, architectures=["FCorefModel"])
    config.save_pretrained(folder)
    encoder, head = scatter(hf.RobertaModel(config)), scatter(Head(config), 2.0)
    head.mention_start_classifier.bias.data -= DOUBT
    inner = {f"roberta.{name}": weight for name, weight in encoder.state_dict().items()}
    save_file({**inner, **head.state_dict()}, folder / "model.safetensors")
    return folder


def gliner(folder: Path, **settings: Any) -> Path:
    """A GLiNER model: DeBERTa that reads labels beside the text, an LSTM, spans against labels."""
    from actors.texts.gliner import Head

    tokenizer = bert_tokenizer()
    tokenizer.model_max_length = 128
    tokenizer.add_tokens(["<<ENT>>", "<<SEP>>"], special_tokens=True)
    tokenizer.save_pretrained(folder)
    inner = hf.DebertaV2Config(vocab_size=len(tokenizer), **DEBERTA)
    config = {
        **{"span_mode": "markerV0", "max_width": 4, "max_len": 80, "hidden_size": 24},
        **{"class_token_index": len(tokenizer) - 2, "vocab_size": len(tokenizer)},
        **{"encoder_config": inner.to_dict(), "model_name": "none"},
        **settings,
    }
    (folder / "gliner_config.json").write_text(json.dumps(config))
    encoder, head = scatter(hf.DebertaV2Model(inner)), scatter(Head(config), 1.6)
    head.labels[3].weight.data *= 2
    save_file(gliner_names(encoder, head), folder / "model.safetensors")
    return folder


def gliner_names(encoder: Any, head: Any) -> dict[str, Any]:
    """The weights under the names that GLiNER's checkpoints give them."""
    places = {
        **{"projection": "token_rep_layer.projection", "lstm": "rnn.lstm"},
        **{"spans": "span_rep_layer.span_rep_layer", "labels": "prompt_rep_layer"},
    }
    weights = encoder.state_dict()
    inner = {f"token_rep_layer.bert_layer.model.{n}": w for n, w in weights.items()}
    parts = {n.partition(".")[::2]: w for n, w in head.state_dict().items()}
    return inner | {f"{places[part]}.{rest}": w for (part, rest), w in parts.items()}


DEBERTA = {
    **{**SIZE, "intermediate_size": 64, "max_position_embeddings": 64},
    **{"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16},
    **{"norm_rel_ebd": "layer_norm", "share_att_key": True, "type_vocab_size": 0},
    **{"position_biased_input": False, "pad_token_id": 0},
}

CASES = {
    "coreference-resolution": Case(
        resolver,
        [{"text": text} for text in TEXTS],
        NOT_TEXTS,
        options={"window": 64, "overlap": 16},
    ),
    "tokenization": Case(bert_words, [{"text": text} for text in TEXTS], NOT_TEXTS),
    "sentence-parsing": Case(bert_tagger, [{"text": text} for text in TEXTS], NOT_TEXTS),
}
