"""spaCy pipelines: loading only what a task needs of them, and texts cut to their measure."""

import json
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from actors.errors import StageFailed
from actors.stage import Batching, Item
from actors.text import blocks, flowing

# Components that turn tokens into vectors; what they feed listens to them, or has one of its own.
FEEDERS = frozenset({"curated_transformer", "tok2vec", "transformer"})
# 50,000 characters are a second of work, so a pass through the pipeline stays interruptible.
BATCHING = Batching("length", rows=256, budget=50_000)
# spaCy's own figure is 1 GB of working memory for each 100,000 characters of one document.
LONGEST_PIECE = 20_000


def is_spacy(folder: Path) -> bool:
    """Say whether the folder holds a spaCy pipeline rather than a transformers model."""
    return (folder / "meta.json").exists() and not (folder / "config.json").exists()


def is_spacy_meta(config: Mapping[str, Any]) -> bool:
    """Say whether the mapping is a spaCy pipeline's meta.json."""
    return "spacy_version" in config


def components_of(meta: Mapping[str, Any]) -> list[str]:
    """Return the names of a pipeline's components, by its meta.json."""
    return list(meta.get("pipeline") or [])


def load_spacy(folder: Path, factories: AbstractSet[str]) -> Any:
    """Load the pipeline with the components that these factories make and what feeds them.

    Raise StageFailed if it cannot be loaded.
    """
    try:
        import spacy
    except ImportError as error:
        raise StageFailed(
            "this model is a spaCy pipeline, and spaCy is not installed:"
            " pip install 'gristmill[embedded]'"
        ) from error
    meta = json.loads((folder / "meta.json").read_text("utf-8"))
    try:
        return _load(folder, factories)
    except (OSError, ValueError) as error:
        raise StageFailed(
            f"spaCy {spacy.__version__} cannot load {folder}, made for spaCy"
            f" {meta.get('spacy_version')}: {error}"
        ) from error


def _load(folder: Path, factories: AbstractSet[str]) -> Any:
    import spacy

    components = spacy.util.load_config(folder / "config.cfg")["components"]
    return spacy.load(folder, exclude=_needless(components, factories))


def _needless(components: Mapping[str, Any], factories: AbstractSet[str]) -> list[str]:
    """Return the components to leave out: unwanted ones, and a tok2vec that no wanted one hears."""
    wanted = {n: c for n, c in components.items() if c.get("factory") in factories | FEEDERS}
    needless = [name for name in components if name not in wanted]
    heard = any("Listener" in json.dumps(c) for n, c in wanted.items() if n != "tok2vec")
    return needless if heard else [*needless, *({"tok2vec"} & set(wanted))]


def items_of(text: str, join: bool) -> list[Item]:
    """Cut a text into items of which each is one document; code points are its cost.

    The data are the document and where its code points stand in the text (int64, one longer). If
    `join`, each paragraph or entry of a list is a document of its own, its broken lines joined.
    """
    found = []
    for start, piece in pieces(text, split=join):
        read, origin = flowing(piece, join)
        found.append(Item((read, origin + start), cost=len(read)))
    return found


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
