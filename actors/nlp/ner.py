"""ner: names of people, places, organisations... in a text."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from actors.architecture import is_made_for, why_not
from actors.errors import StageFailed
from actors.scores import softmax
from actors.stage import (
    Batching,
    Columns,
    Defaults,
    Device,
    Item,
    Model,
    ModelFiles,
    Row,
    Stage,
    option,
)
from actors.text import TEXT, flowing, text_of, trimmed
from actors.texts import spacy_text

if TYPE_CHECKING:
    from actors.texts.encoder import Encoder
    from actors.texts.gliner import Finder

# The components of a spaCy pipeline that find entities; parser, tagger and others are left out.
FINDERS = frozenset({"beam_ner", "entity_ruler", "ner", "span_ruler"})

GLINER = "gliner_config.json"

ENTITY = pa.struct(
    [
        ("text", pa.string()),
        ("label", pa.string()),
        ("score", pa.float32()),
        ("start", pa.int32()),
        ("end", pa.int32()),
    ]
)


class Ner(Stage):
    """Finds the names in a text: what each one is, and where it stands.

    `start` and `end` are code points of the text as given, in order and without overlap, and
    `text` is exactly what stands there. The model is a transformers token classifier, a spaCy
    pipeline, or a GLiNER model, which finds whatever the option `labels` names in plain words
    ("street address", "medicine"). spaCy decides without probabilities, so its `score` is null: a
    number made up from its beam would not say how often it is right. An empty text has no entities.

    GLiNER models (urchade/gliner_small-v2.1, Apache-2.0, and others) are mostly published as
    pickles, which are not opened here. Convert one once, where you trust it, in an environment with
    the package gliner, and write  model: ./gliner

        from gliner import GLiNER
        model = GLiNER.from_pretrained("urchade/gliner_small-v2.1")
        model.save_pretrained("gliner", safe_serialization=True)
    """

    aliases: ClassVar[tuple[str, ...]] = ("named-entity-recognition", "token-classification")
    reads: ClassVar[Columns] = TEXT
    models: ClassVar[Defaults] = Defaults(
        hub="dslim/bert-base-NER", licence="MIT", embedded="embedded:en-core-web-sm"
    )

    aggregation: Literal["simple", "first", "average", "max"] = option(
        "first",
        "How a word split into tokens gets one label: simple lets each token keep its own; first,"
        " average and max take the first token's, the mean, the surest. (spaCy labels words.)",
    )
    threshold: float | None = option(
        None, "Leave out entities with a lower score; default: 0, for GLiNER 0.5.", ge=0, le=1
    )
    labels: tuple[str, ...] = option(
        (), "Keep only entities with these labels; none means all. For GLiNER: what to look for."
    )
    overlap: int = option(
        64, "Tokens (GLiNER: words) that neighbouring windows of a long text share.", ge=0, le=4096
    )
    line_breaks: Literal["join", "keep"] = option(
        "join",
        "Single line breaks: read the text as if it ran on, with words that were hyphenated at a"
        " line's end made whole, or as they are.",
    )

    @property
    def writes(self) -> Columns:
        """The entities, in the text's order."""
        return {"entities": pa.list_(ENTITY)}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept token classifiers, spaCy pipelines (by their meta.json) that find entities, and
        GLiNER models (by their gliner_config.json) if labels are named."""
        if spacy_text.is_spacy_meta(config):
            return _why_not_entities(config)
        if "span_mode" in config:
            return _why_not_labels(config, self.labels)
        if is_made_for(config, "ForTokenClassification"):
            return None
        needed = "a ...ForTokenClassification model, a spaCy pipeline or a GLiNER model"
        return why_not("ner", needed, config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load whichever kind of model the folder holds."""
        if spacy_text.is_spacy(files.folder):
            return SpacyNer(self, spacy_text.load_spacy(files.folder, FINDERS))
        if (files.folder / GLINER).is_file():
            return self._load_gliner(files.folder, device)
        from transformers import AutoModelForTokenClassification

        from actors.checkpoint import load_model
        from actors.texts.encoder import Encoder

        model = load_model(AutoModelForTokenClassification, files.folder, device)
        return TokenNer(self, Encoder(model, files.folder, device, overlap=self.overlap))

    def _load_gliner(self, folder: Path, device: Device) -> Model:
        from actors.texts.gliner import Finder

        config = json.loads((folder / GLINER).read_text("utf-8"))
        if problem := self.check(config):
            raise StageFailed(f"{folder}: {problem}")
        return GlinerNer(self, Finder(folder, config, self.labels, self.overlap, device))

    def flowing(self, text: str) -> tuple[str, np.ndarray]:
        """Return the text as the model reads it, and where its code points come from."""
        return flowing(text, self.line_breaks == "join")

    def answer(self, text: str, found: Sequence[Row]) -> Row:
        """Return the column from label, score, start and end of each entity in `text`."""
        named: list[Row] = []
        for entity in filter(self._wants, found):
            # Bytes of one code point may be tokens of their own, in two entities: the first has it.
            free = max(entity["start"], named[-1]["end"] if named else 0)
            start, end = trimmed(text, free, entity["end"])
            if start < end:
                named.append({**entity, "text": text[start:end], "start": start, "end": end})
        return {"entities": named}

    def _wants(self, entity: Row) -> bool:
        sure = entity["score"] is None or entity["score"] >= (self.threshold or 0)
        return sure and (not self.labels or entity["label"] in self.labels)


class TokenNer(Model):
    """A transformers token classifier; long texts go through it in windows."""

    def __init__(self, stage: Ner, encoder: "Encoder") -> None:
        from actors.texts.token_labels import Tag, Words

        self.stage = stage
        self.encoder = encoder
        self.batching = encoder.batching
        self.words = Words.of(encoder.tokenizer)
        config = encoder.model.config
        self.tags = [Tag.of(config.id2label[number]) for number in range(config.num_labels)]

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per window of the text; none for an empty text."""
        texts = [text_of(row) for row in rows]
        windows = self.encoder.windows([self.stage.flowing(text)[0] for text in texts])
        return [[window.item() for window in found] for found in windows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: its tokens, the special ones left out, with their logits."""
        from actors.texts.token_labels import windows

        return windows(items, self.encoder.logits(items))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Join the windows, agree on words, group, and find the places in the text as given."""
        from actors.texts.token_labels import by_words, group, join

        text, origin = self.stage.flowing(row["text"])
        if not outputs:
            return self.stage.answer(row["text"], [])
        window = join(outputs, self.encoder.overlap)
        scores, offsets = softmax(window.logits), window.offsets
        if self.stage.aggregation != "simple":
            starts = self.words.starts(text, window)
            scores, offsets = by_words(window, starts, self.stage.aggregation)
        return self.stage.answer(row["text"], _placed(group(scores, offsets, self.tags), origin))


class SpacyNer(Model):
    """A spaCy pipeline; each paragraph or entry of a list is one document."""

    batching = spacy_text.BATCHING

    def __init__(self, stage: Ner, nlp: Any) -> None:
        self.stage = stage
        self.nlp = nlp

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per paragraph or entry (code points are its cost)."""
        join = self.stage.line_breaks == "join"
        return [spacy_text.items_of(text_of(row), join) for row in rows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: its entities, placed in the text as given."""
        documents = self.nlp.pipe([item.data[0] for item in items], batch_size=len(items))
        return [
            _placed([_unscored(entity) for entity in document.ents], item.data[1])
            for document, item in zip(documents, items, strict=True)
        ]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Put the paragraphs' entities in a row."""
        return self.stage.answer(row["text"], [entity for found in outputs for entity in found])


class GlinerNer(Model):
    """A GLiNER model; long texts go through it in windows."""

    def __init__(self, stage: Ner, finder: "Finder") -> None:
        self.stage = stage
        self.finder = finder
        self.threshold = 0.5 if stage.threshold is None else stage.threshold
        rule: Literal["length", "shape"] = "length" if finder.padding_is_exact else "shape"
        self.batching = Batching(rule, budget=1_024 if finder.device.name == "cpu" else 16_384)

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per window of the text; none for an empty text."""
        texts = [self.stage.flowing(text_of(row))[0] for row in rows]
        return [[window.item() for window in self.finder.windows(text)] for text in texts]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: its entities, which may overlap."""
        return list(self.finder.find([item.data for item in items], self.threshold))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Join the windows, keep the surest of those that overlap, place them in the text given."""
        from actors.texts.gliner import without_overlap

        origin = self.stage.flowing(row["text"])[1]
        found = [
            {
                "label": self.stage.labels[one.label],
                **{"score": one.score, "start": one.start, "end": one.end},
            }
            for one in without_overlap([one for window in outputs for one in window])
        ]
        return self.stage.answer(row["text"], _placed(found, origin))


def _unscored(span: Any) -> Row:
    return {"label": span.label_, "score": None, "start": span.start_char, "end": span.end_char}


def _why_not_entities(meta: Mapping[str, Any]) -> str | None:
    """Say why a spaCy pipeline (its meta.json) finds no entities, or None."""
    names = spacy_text.components_of(meta)
    if {"ner", "beam_ner", "entity_ruler"} & set(names):
        return None
    return f"ner needs a spaCy pipeline with the component 'ner'; this one has {', '.join(names)}"


def _why_not_labels(config: Mapping[str, Any], labels: Sequence[str]) -> str | None:
    """Say why a GLiNER model (its gliner_config.json) cannot be used, or None."""
    extras = [name for name in ("post_fusion_schema", "fuse_layers") if config.get(name)]
    extras += [name for name in ("labels_encoder", "labels_decoder") if config.get(name)]
    plain = config["span_mode"] in ("markerV0", "markerV1")
    if extras or not plain or config.get("subtoken_pooling", "first") != "first":
        return (
            f"ner opens GLiNER models that compare spans of words (span_mode markerV0, markerV1),"
            f" not this one (span_mode {config['span_mode']}{', '.join(['', *extras])})"
        )
    if not config.get("encoder_config"):
        return (
            "its gliner_config.json lacks encoder_config, as old ones do: save it anew with the"
            " package gliner:  GLiNER.from_pretrained(MODEL)"
            ".save_pretrained(FOLDER, safe_serialization=True)"
        )
    if not labels:
        return (
            "a GLiNER model looks for what you name; write  options: {labels: [person, medicine]}"
        )
    return None


def _placed(found: Sequence[Row], origin: np.ndarray) -> list[Row]:
    """Return the entities with start and end mapped through `origin`; the end by its last one."""
    return [
        {**e, "start": int(origin[e["start"]]), "end": int(origin[e["end"] - 1]) + 1}
        for e in found
        if e["start"] < e["end"]
    ]
