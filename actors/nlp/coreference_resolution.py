"""coreference-resolution: which mentions of a text mean the same."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from actors.architecture import architectures, why_not
from actors.errors import StageFailed
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
from actors.text import TEXT, flowing, text_of

if TYPE_CHECKING:
    from actors.texts.coreference import Resolver
    from actors.texts.encoder import Tokens

Span = tuple[int, int]

MENTION = pa.struct([("text", pa.string()), ("start", pa.int32()), ("end", pa.int32())])


class CoreferenceResolution(Stage):
    """Finds the mentions of a text that mean the same person or thing.

    `clusters` holds one list for each person or thing that is mentioned twice or more: its
    mentions in the text's order, clusters by their first one; mentions may lie in each other. Of a
    mention, `start` and `end` are code points of the text as given, and `text` is exactly what
    stands there. A text of no words has no clusters.

    The model is F-coref (biu-nlp/f-coref on the hub, MIT) or another of its kind in a folder. Its
    weights are published as a pickle, which is not opened here, so there is no default: convert it
    once, where you trust it, and write  model: ./f-coref

        import huggingface_hub, safetensors.torch, torch
        huggingface_hub.snapshot_download("biu-nlp/f-coref", local_dir="f-coref")
        weights = torch.load("f-coref/pytorch_model.bin", map_location="cpu", weights_only=True)
        safetensors.torch.save_file(weights, "f-coref/model.safetensors", {"format": "pt"})

    Words are cut by spaCy's rules for the language, as in its training:
    pip install 'gristmill[embedded]'
    """

    reads: ClassVar[Columns] = TEXT
    models: ClassVar[Defaults] = Defaults()
    chunk: ClassVar[int] = 32

    language: str = option(
        "en",
        "The language whose rules cut the text into words, as spaCy names it; F-coref knows en.",
        min_length=2,
    )
    window: int = option(
        4096,
        "Most tokens read at once; of a longer text, clusters of neighbouring windows that share a"
        " mention are joined.",
        ge=64,
        le=65_536,
    )
    overlap: int = option(
        512, "Tokens that neighbouring windows of a long text share.", ge=0, le=32_768
    )
    line_breaks: Literal["join", "keep"] = option(
        "join",
        "Words that were hyphenated at a line's end: make them whole, or read them as they are.",
    )

    @property
    def writes(self) -> Columns:
        """The clusters, in the order of their first mentions."""
        return {"clusters": pa.list_(pa.list_(MENTION))}

    @model_validator(mode="after")
    def _overlaps_less_than_a_window(self) -> "CoreferenceResolution":
        if 2 * self.overlap > self.window:
            raise ValueError(
                f"overlap is {self.overlap} and window {self.window}: write an overlap of at most"
                f" half the window"
            )
        return self

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept checkpoints with F-coref's head."""
        needed = "an F-coref model (config.json with coref_head; see gristmill tasks"
        if "coref_head" in config and "LingMessModel" not in architectures(config):
            return None
        return why_not("coreference-resolution", f"{needed} coreference-resolution)", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model, its tokenizer and the rules for words."""
        from actors.texts.coreference import Resolver

        words = _words(self.language)
        backend = _backend(files.folder, self.window, self.overlap)
        return Coreference(self, words, backend, Resolver(files.folder, device), device)


def _words(language: str) -> Any:
    """Return spaCy's tokenizer of a language."""
    try:
        import spacy

        return spacy.blank(language).tokenizer
    except ImportError as error:
        raise StageFailed(
            f"spaCy, or its part for the language '{language}', is not installed ({error}):"
            f" pip install 'gristmill[embedded]'"
        ) from error


def _backend(folder: Path, window: int, overlap: int) -> Any:
    """Return the model's fast tokenizer, cutting into windows."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, add_prefix_space=True)
    if not tokenizer.is_fast:
        raise StageFailed(f"{folder} has no tokenizer that tells which word a token is of")
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.enable_truncation(window, stride=overlap)
    return backend


class Coreference(Model):
    """A loaded model; long texts go through it in windows."""

    def __init__(
        self,
        stage: CoreferenceResolution,
        words: Any,
        backend: Any,
        resolver: "Resolver",
        device: Device,
    ) -> None:
        self.stage = stage
        self.words = words
        self.backend = backend
        self.resolver = resolver
        rule: Literal["length", "shape"] = "length" if resolver.padding_is_exact else "shape"
        self.batching = Batching(rule, budget=1_024 if device.name == "cpu" else 16_384)

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per window of the text; none for a text without words."""
        return [[tokens.item() for tokens in self._windows(text_of(row))] for row in rows]

    def _windows(self, text: str) -> list["Tokens"]:
        read, _ = self._flowing(text)
        words = [word for word in self.words(read) if not word.is_space]
        if not words:
            return []
        spans = np.array([(word.idx, word.idx + len(word)) for word in words], dtype=np.int64)
        found = self.backend.encode([word.text for word in words], is_pretokenized=True)
        return [_placed(part, spans) for part in (found, *found.overflowing)]

    def _flowing(self, text: str) -> tuple[str, np.ndarray]:
        return flowing(text, self.stage.line_breaks == "join")

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: its clusters of spans, in code points of the text as it is read."""
        found = self.resolver.clusters([item.data.ids for item in items])
        return [
            [_spans(cluster, item.data.note) for cluster in clusters]
            for item, clusters in zip(items, found, strict=True)
        ]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Join the windows' clusters, and find their places in the text as given."""
        text = row["text"]
        origin = self._flowing(text)[1]
        clusters = sorted(sorted(one) for one in joined(c for found in outputs for c in found))
        return {"clusters": [[_mention(text, origin, span) for span in one] for one in clusters]}


def _placed(found: Any, words: np.ndarray) -> "Tokens":
    """Return a window's tokens; the note is each one's word, start and end, or -1 twice."""
    from actors.texts.encoder import Tokens

    numbers = np.array([-1 if n is None else n for n in found.word_ids], dtype=np.int64)
    places = np.where(numbers[:, None] < 0, -1, words[numbers])
    return Tokens(np.asarray(found.ids, dtype=np.int64), note=places)


def _spans(cluster: Iterable[Span], places: np.ndarray) -> list[Span]:
    """Return the code points of mentions given by tokens; of special tokens there are none."""
    found = [(int(places[first, 0]), int(places[last, 1])) for first, last in cluster]
    return [span for span in found if min(span) >= 0]


def joined(clusters: Iterable[Sequence[Span]]) -> list[list[Span]]:
    """Join clusters that share a mention; those of a single mention are left out."""
    leader: dict[Span, Span] = {}

    def led(span: Span) -> Span:
        while leader.setdefault(span, span) != span:
            leader[span] = leader[leader[span]]
            span = leader[span]
        return span

    for cluster in clusters:
        for one, other in pairwise(cluster):
            leader[led(other)] = led(one)
    found: dict[Span, list[Span]] = {}
    for span in leader:
        found.setdefault(led(span), []).append(span)
    return [cluster for cluster in found.values() if len(cluster) > 1]


def _mention(text: str, origin: np.ndarray, span: Span) -> Row:
    start, end = int(origin[span[0]]), int(origin[span[1] - 1]) + 1
    return {"text": text[start:end], "start": start, "end": end}
