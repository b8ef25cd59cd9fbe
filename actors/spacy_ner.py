"""Named entities by a spaCy pipeline: loading only what they need, and texts cut to its measure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from actors.errors import StageFailed
from actors.text import blocks

# Components that find entities, or feed those that do; parser, tagger and lemmatizer are left out.
ENTITY_FACTORIES = {"beam_ner", "entity_ruler", "ner", "span_ruler", "transformer", "tok2vec"}
# spaCy's own figure is 1 GB of working memory for each 100,000 characters of one document.
LONGEST_PIECE = 20_000


def is_spacy(folder: Path) -> bool:
    """Say whether the folder holds a spaCy pipeline rather than a transformers model."""
    return (folder / "meta.json").exists() and not (folder / "config.json").exists()


def is_spacy_meta(config: Mapping[str, Any]) -> bool:
    """Say whether the mapping is a spaCy pipeline's meta.json."""
    return "spacy_version" in config


def why_not_entities(meta: Mapping[str, Any]) -> str | None:
    """Say why a spaCy pipeline (its meta.json) finds no entities, or None."""
    names = meta.get("pipeline") or []
    if {"ner", "beam_ner", "entity_ruler"} & set(names):
        return None
    return f"ner needs a spaCy pipeline with the component 'ner'; this one has {', '.join(names)}"


def load_spacy(folder: Path) -> Any:
    """Load the pipeline with the components that find entities; raise StageFailed if it cannot."""
    try:
        import spacy
    except ImportError as error:
        raise StageFailed(
            "this model is a spaCy pipeline, and spaCy is not installed:"
            " pip install 'gristmill[embedded]'"
        ) from error
    meta = json.loads((folder / "meta.json").read_text("utf-8"))
    try:
        return spacy.load(folder, exclude=_needless(spacy.util.load_config(folder / "config.cfg")))
    except (OSError, ValueError) as error:
        raise StageFailed(
            f"spaCy {spacy.__version__} cannot load {folder}, made for spaCy"
            f" {meta.get('spacy_version')}: {error}"
        ) from error


def _needless(config: Mapping[str, Any]) -> list[str]:
    """Return the components to leave out: no entity comes from them, and none listens to them."""
    components = config["components"]
    finders = {n: c for n, c in components.items() if c.get("factory") in ENTITY_FACTORIES}
    needless = [name for name in components if name not in finders]
    heard = any("Listener" in json.dumps(c) for n, c in finders.items() if n != "tok2vec")
    return needless if heard else [*needless, *({"tok2vec"} & set(finders))]


def pieces(text: str, split: bool) -> list[tuple[int, str]]:
    """Cut a text into (start, piece): at blank lines and list entries if `split`, and after
    a sentence, before LONGEST_PIECE code points. What is left out is white space only."""
    spans = blocks(text) if split else [(0, len(text))]
    return [(a, text[a:b]) for start, end in spans for a, b in _short(text, start, end)]


def _short(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > LONGEST_PIECE:
        cut = _cut(text, start, start + LONGEST_PIECE)
        yield start, cut
        start = cut
    if text[start:end].strip():
        yield start, end


def _cut(text: str, start: int, end: int) -> int:
    """Return where to cut before `end`: after a sentence, else a line, else a word, else there."""
    marks = (text.rfind(mark, start + 1, end) + len(mark) for mark in (". ", "\n", " "))
    return next((place for place in marks if place > start + 1), end)


def entities(nlp: Any, texts: Sequence[str]) -> list[list[tuple[str, int, int]]]:
    """Return the (label, start, end) of each text's entities, in code points, in order."""
    documents = nlp.pipe(texts, batch_size=max(1, len(texts)))
    return [[(e.label_, e.start_char, e.end_char) for e in document.ents] for document in documents]
