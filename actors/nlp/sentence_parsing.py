"""sentence-parsing: a text's sentences, and each word's kind, lemma and head."""

import itertools
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from actors.architecture import is_made_for, why_not
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, Stage, option
from actors.text import SPAN, TEXT, flowing, text_of, trimmed
from actors.texts import spacy_text
from actors.texts.sentences import Span, every_sentence

if TYPE_CHECKING:
    from actors.texts.encoder import Encoder

# The components of a spaCy pipeline that say what a token is; entities are ner's matter.
PARSERS = frozenset(
    {
        *("parser", "senter", "sentencizer", "tagger", "morphologizer", "attribute_ruler"),
        *("lemmatizer", "trainable_lemmatizer"),
    }
)
# Those of them that find where sentences end.
CUTTERS = frozenset({"parser", "senter", "sentencizer"})
# Universal parts of speech: https://universaldependencies.org/u/pos
UNIVERSAL = frozenset(
    {
        *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON"),
        *("PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"),
    }
)
ROOT = -1

TOKEN = pa.struct(
    [
        ("text", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("sentence", pa.int32()),
        ("pos", pa.string()),
        ("tag", pa.string()),
        ("lemma", pa.string()),
        ("head", pa.int32()),
        ("relation", pa.string()),
    ]
)


class SentenceParsing(Stage):
    """Finds a text's sentences and words, and each word's part of speech, lemma and head.

    Of a token, `start` and `end` are code points of the text as given, and `text` is exactly what
    stands there; `sentence` is an index into `sentences`; `pos` is the universal part of speech
    (NOUN, VERB...), `tag` the model's own finer one; `head` is the index in `tokens` of the token
    that it hangs on by `relation` (nsubj, obj...), -1 for a sentence's root. White space makes no
    token. The model is a spaCy pipeline, or a transformers token classifier of parts of speech,
    which leaves lemma, head and relation null and finds sentences by their punctuation. What a
    model does not say is null. An empty text has no sentences and no tokens. The hub's default
    states no licence: read its card before you use it.
    """

    reads: ClassVar[Columns] = TEXT
    models: ClassVar[Defaults] = Defaults(
        hub="vblagoje/bert-english-uncased-finetuned-pos", embedded="embedded:en-core-web-sm"
    )

    line_breaks: Literal["join", "keep"] = option(
        "join",
        "Single line breaks: read the text as if it ran on, with words that were hyphenated at a"
        " line's end made whole, or as they are.",
    )
    overlap: int = option(
        64,
        "Tokens that neighbouring windows of a long text share. (spaCy reads by paragraphs.)",
        ge=0,
        le=4096,
    )

    @property
    def writes(self) -> Columns:
        """Sentences and tokens, in the text's order."""
        return {"sentences": pa.list_(SPAN), "tokens": pa.list_(TOKEN)}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept spaCy pipelines that cut sentences, and classifiers of tokens but not of names."""
        if spacy_text.is_spacy_meta(config):
            return _why_not_parser(spacy_text.components_of(config))
        if not is_made_for(config, "ForTokenClassification"):
            needed = "a spaCy pipeline or a ...ForTokenClassification model of parts of speech"
            return why_not("sentence-parsing", needed, config)
        labels = list(map(str, (config.get("id2label") or {}).values()))
        if "O" in labels or any(label[:2] in ("B-", "I-") for label in labels):
            return (
                f"sentence-parsing needs a model of parts of speech, but this one finds names"
                f" ({', '.join(labels[:4])}...): task ner uses it"
            )
        return None

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load whichever kind of model the folder holds."""
        if spacy_text.is_spacy(files.folder):
            return SpacyParser(self.joins, spacy_text.load_spacy(files.folder, PARSERS))
        from transformers import AutoModelForTokenClassification

        from actors.checkpoint import load_model
        from actors.texts.encoder import Encoder

        model = load_model(AutoModelForTokenClassification, files.folder, device)
        return Tagger(self.joins, Encoder(model, files.folder, device, overlap=self.overlap))

    @property
    def joins(self) -> bool:
        """Whether broken lines are joined."""
        return self.line_breaks == "join"


def _why_not_parser(components: list[str]) -> str | None:
    if CUTTERS & set(components):
        return None
    return (
        f"sentence-parsing needs a spaCy pipeline with one of {', '.join(sorted(CUTTERS))};"
        f" this one has {', '.join(components) or 'no component'}"
    )


class SpacyParser(Model):
    """A spaCy pipeline; each paragraph or entry of a list is one document."""

    batching = spacy_text.BATCHING

    def __init__(self, joins: bool, nlp: Any) -> None:
        self.joins = joins
        self.nlp = nlp

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per paragraph or entry (code points are its cost)."""
        return [spacy_text.items_of(text_of(row), self.joins) for row in rows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: its tokens, sentence by sentence, placed in the text as given."""
        documents = self.nlp.pipe([item.data[0] for item in items], batch_size=len(items))
        return [
            _parsed(document, item.data[1]) for document, item in zip(documents, items, strict=True)
        ]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Put the paragraphs' sentences in a row, and count tokens and sentences through it."""
        sentences: list[Row] = []
        tokens: list[Row] = []
        for first, parsed in zip(_firsts(outputs), outputs, strict=True):
            for sentence in parsed:
                sentences.append({"start": sentence[0]["start"], "end": sentence[-1]["end"]})
                tokens += [_counted(token, first, len(sentences) - 1) for token in sentence]
        for token in tokens:
            token["text"] = row["text"][token["start"] : token["end"]]
        return {"sentences": sentences, "tokens": tokens}


def _firsts(documents: Sequence[Sequence[Sequence[Row]]]) -> list[int]:
    """Return the number of tokens that stand before each document."""
    sizes = (sum(map(len, document)) for document in documents)
    return list(itertools.accumulate(sizes, initial=0))[: len(documents)]


def _counted(token: Row, first: int, sentence: int) -> Row:
    head = token["head"]
    moved = head if head is None or head == ROOT else head + first
    return {**token, "sentence": sentence, "head": moved}


def _parsed(document: Any, origin: np.ndarray) -> list[list[Row]]:
    """Return the tokens of each sentence of a spaCy document, their heads counted in it."""
    numbers = {token.i: n for n, token in enumerate(t for t in document if not t.is_space)}
    hangs = document.has_annotation("DEP")
    return [
        [_token(token, origin, _head(token, numbers) if hangs else None) for token in words]
        for sentence in document.sents
        if (words := [token for token in sentence if not token.is_space])
    ]


def _head(token: Any, numbers: Mapping[int, int]) -> int:
    """Return the number of the token's head; the root where only white space stands above it."""
    head = token.head
    while head.i not in numbers and head.head.i != head.i:
        head = head.head
    return ROOT if head.i == token.i else numbers.get(head.i, ROOT)


def _token(token: Any, origin: np.ndarray, head: int | None) -> Row:
    return {
        "start": int(origin[token.idx]),
        "end": int(origin[token.idx + len(token) - 1]) + 1,
        "pos": token.pos_ or None,
        "tag": token.tag_ or None,
        "lemma": token.lemma_ or None,
        "head": head,
        "relation": token.dep_ or None,
    }


class Tagger(Model):
    """A transformers classifier of parts of speech; long texts go through it in windows."""

    def __init__(self, joins: bool, encoder: "Encoder") -> None:
        from actors.texts.token_labels import Words

        self.joins = joins
        self.encoder = encoder
        self.batching = encoder.batching
        self.words = Words.of(encoder.tokenizer)
        config = encoder.model.config
        self.labels = [config.id2label[number] for number in range(config.num_labels)]

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per window of the text; none for an empty text."""
        texts = [flowing(text_of(row), self.joins)[0] for row in rows]
        return [[window.item() for window in found] for found in self.encoder.windows(texts)]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: its tokens, the special ones left out, with their logits."""
        from actors.texts.token_labels import windows

        return windows(items, self.encoder.logits(items))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Join the windows, take each word's first token, and find its sentence."""
        from actors.texts.token_labels import by_words, join

        text, origin = flowing(row["text"], self.joins)
        if not outputs:
            return {"sentences": [], "tokens": []}
        window = join(outputs, self.encoder.overlap)
        scores, offsets = by_words(window, self.words.starts(text, window), "first")
        spans = [_given(trimmed(text, *span), origin) for span in offsets.tolist()]
        labels = [self.labels[best] for best in scores.argmax(axis=1)]
        named = [one for one in zip(spans, labels, strict=True) if one[0][0] < one[0][1]]
        return _tagged(row["text"], named)


def _given(span: Span, origin: np.ndarray) -> Span:
    """Return where a stretch of the joined text stands in the text as given."""
    start, end = span
    return (0, 0) if start >= end else (int(origin[start]), int(origin[end - 1]) + 1)


def _tagged(text: str, words: Sequence[tuple[Span, str]]) -> Row:
    sentences = every_sentence(text)
    starts = [start for start, _ in sentences]
    tokens = [
        {
            **{"text": text[start:end], "start": start, "end": end},
            "sentence": max(0, bisect_right(starts, start) - 1) if starts else None,
            "pos": label if label in UNIVERSAL else None,
            "tag": None if label in UNIVERSAL else label,
            **{"lemma": None, "head": None, "relation": None},
        }
        for (start, end), label in words
    ]
    return {"sentences": [{"start": a, "end": b} for a, b in sentences], "tokens": tokens}
