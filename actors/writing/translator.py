"""Models that translate: how each family is told the languages, and how texts are cut for it.

Families are told a language by a token before the source (M2M100, NLLB, mBART-50), by the first
token of the answer (the same), or by words or a token before the text (T5, MADLAD, Marian).
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from actors.checkpoint import load_model
from actors.errors import StageFailed
from actors.stage import Device, Item
from actors.text import unbroken
from actors.texts.encoder import longest_input
from actors.texts.sentences import Span, sentences_by_block
from actors.writing.generation import Generation, Written
from actors.writing.language_codes import KIN, NAMES, UnknownLanguage, find_code

NLLB_CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
MARIAN_MARK = re.compile(r">>(.+)<<")
MADLAD_MARK = re.compile(r"<2(.+)>")
# Tokens where a model states nothing: twice what NLLB and M2M100 state for a sentence.
LONGEST = 400


@dataclass(frozen=True, slots=True)
class Route:
    """From one language to another: words before the text, tokens around it, the answer's first
    token; or `stays`, where the two are one language."""

    words: str = ""
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    first: int | None = None
    stays: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a text that is translated by itself: its place, its tokens (int64) with all
    marks, and the token that its translation begins with."""

    span: Span
    ids: np.ndarray
    first: int | None

    @property
    def nbytes(self) -> int:
        """Bytes of memory, for the worker's bound on what waits."""
        return int(self.ids.nbytes)


@dataclass(frozen=True)
class Languages:
    """What a model can be told.

    sources  code -> tokens before and after the text; empty where the source is not told
    targets  code -> words before the text, or the answer's first token; empty for one fixed target
    words    around the names of both, for T5
    """

    sources: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    targets: Mapping[str, str | int] = field(default_factory=dict)
    words: str = ""
    fixed: tuple[str | None, str | None] = (None, None)


class Translator:
    """A sequence-to-sequence model that translates, with its tokenizer."""

    def __init__(self, folder: Path, device: Device) -> None:
        self.model = load_model(AutoModelForSeq2SeqLM, folder, device)
        with warnings.catch_warnings():
            # Marian's tokenizer recommends sacremoses, and does not use it.
            warnings.simplefilter("ignore", UserWarning)
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.languages = languages_of(self.model, self.tokenizer)
        # M2M100's tokenizer shows its language tokens where the model's files do not say otherwise.
        firsts = [first for first in self.languages.targets.values() if isinstance(first, int)]
        self.generation = Generation(self.model, self.tokenizer, device, hidden=firsts)
        self.marks = _marks(self.tokenizer)
        self.length = longest_input(self.tokenizer, self.model.config)
        self._routes: dict[tuple[str | None, str], Route] = {}

    def route(self, source: str | None, target: str) -> Route:
        """Return how to translate; raise UnknownLanguage for what the model cannot do."""
        if (source, target) not in self._routes:
            self._routes[source, target] = self._route(source, target)
        return self._routes[source, target]

    def _route(self, source: str | None, target: str) -> Route:
        told = self.languages
        _check_fixed(source, told.fixed[0], "from")
        if not told.targets:
            _check_fixed(target, told.fixed[1], "into")
            return Route("", *self.marks)
        if self._is_one(source, target):
            return Route(stays=True)
        goal = told.targets[find_code(target, told.targets)]
        if told.words:
            words = told.words.format(NAMES[self._source(source, NAMES)], goal)
            return Route(words, *self.marks)
        if isinstance(goal, str):
            return Route(goal, *self.marks)
        return Route("", *told.sources[self._source(source, told.sources)], goal)

    def _is_one(self, source: str | None, target: str) -> bool:
        """Say whether both are the same of the model's languages; a script may tell two apart."""
        codes = self.languages.targets
        try:
            return source is not None and find_code(source, codes) == find_code(target, codes)
        except UnknownLanguage:
            return False

    def _source(self, source: str | None, codes: Mapping[str, Any]) -> str:
        if source is None:
            raise UnknownLanguage("this model must be told the source language; name it")
        return find_code(source, codes)

    def check(self, source: str | None, target: str | None) -> None:
        """Raise UnknownLanguage if the model lacks one of the languages; None may be anything."""
        told = self.languages
        sources = NAMES if told.words else told.sources
        for code, codes, fixed, way in (
            (source, sources, told.fixed[0], "from"),
            (target, told.targets, told.fixed[1], "into"),
        ):
            if code is not None and codes:
                find_code(code, codes)
            elif not codes:
                _check_fixed(code, fixed, way)

    def parts(self, text: str, route: Route, alone: bool) -> list[Part]:
        """Cut a text into what is translated by itself: sentences, or if not `alone` as many
        sentences of a paragraph as the model takes. Nothing but white space is left out."""
        blocks = sentences_by_block(text)
        whole = iter(self._read(text, [span for block in blocks for span in block], route))
        parts = [[next(whole) for _ in block] for block in blocks]
        if not alone:
            parts = [self._read(text, self._grouped(block), route) for block in parts]
        return [half for block in parts for part in block for half in self._fit(text, part, route)]

    def _grouped(self, parts: Sequence[Part]) -> list[Span]:
        """Join neighbours while their tokens together fit."""
        groups: list[Span] = []
        held = 0
        for part in parts:
            held += len(part.ids)
            if groups and held <= self.length:
                groups[-1] = (groups[-1][0], part.span[1])
            else:
                groups.append(part.span)
                held = len(part.ids)
        return groups

    def _fit(self, text: str, part: Part, route: Route) -> list[Part]:
        """Halve what is longer than the model, at white space if there is any."""
        if len(part.ids) <= self.length or part.span[1] - part.span[0] < 2:
            return [part]
        halves = self._read(text, _halves(text, *part.span), route)
        return [small for half in halves for small in self._fit(text, half, route)]

    def _read(self, text: str, spans: Sequence[Span], route: Route) -> list[Part]:
        """Return the tokens of stretches of a text."""
        if not spans:
            return []
        read = [route.words + unbroken(text[a:b])[0] for a, b in spans]
        found = self.tokenizer(read, add_special_tokens=False, verbose=False).input_ids
        around = [np.array([*route.before, *ids, *route.after], np.int64) for ids in found]
        return [Part(*pair, route.first) for pair in zip(spans, around, strict=True)]

    def translate(self, items: Sequence[Item], settings: Mapping[str, Any]) -> list[Written]:
        """Return the translation of each item's part."""
        firsts = [item.data.first for item in items]
        return self.generation.write(items, settings, firsts=None if None in firsts else firsts)

    def limit(self, most: int | None) -> int | None:
        """Return the most tokens of an answer: what is asked for, else None where the model states
        it itself. Raise StageFailed for more than the model has positions for."""
        stated = self.model.generation_config
        places = getattr(self.model.config, "max_position_embeddings", None)
        if most is not None and places is not None and most >= places:
            raise StageFailed(f"max_new_tokens {most}: the model writes {places - 1} at most")
        if most is None and not (stated.max_length or stated.max_new_tokens):
            return min(LONGEST, (places or LONGEST + 1) - 1)
        return most


def languages_of(model: Any, tokenizer: Any) -> Languages:
    """Return what a model can be told; raise StageFailed for a family that is not known."""
    family = model.config.model_type
    if family == "marian":
        marks = {code: f">>{code}<< " for code in _matching(tokenizer, MARIAN_MARK)}
        return Languages(targets=marks, fixed=(tokenizer.source_lang, tokenizer.target_lang))
    if family in ("t5", "mt5"):
        marks = {code: f"<2{code}> " for code in _matching(tokenizer, MADLAD_MARK)}
        if marks:
            return Languages(targets=marks)
        return Languages(targets=NAMES, words="translate {} to {}: ")
    codes = _token_codes(tokenizer)
    if not codes:
        raise StageFailed(
            f"the model's tokenizer ({type(tokenizer).__name__}) names no languages;"
            " translation knows Marian, M2M100, NLLB, mBART-50, T5 and MADLAD"
        )
    return Languages({code: _source_marks(tokenizer, code) for code in codes}, codes)


def _token_codes(tokenizer: Any) -> dict[str, int]:
    """Return the codes that are tokens: M2M100's and mBART-50's own table, NLLB's by their form."""
    table = getattr(tokenizer, "lang_code_to_id", None)
    if table:
        return dict(table)
    special = tokenizer.get_vocab().items()
    return {token: number for token, number in special if NLLB_CODE.fullmatch(token)}


def _matching(tokenizer: Any, mark: re.Pattern[str]) -> list[str]:
    found = (mark.fullmatch(token) for token in tokenizer.get_vocab())
    return [match[1] for match in found if match]


def _source_marks(tokenizer: Any, code: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    tokenizer.src_lang = code
    return tuple(tokenizer.prefix_tokens), tuple(tokenizer.suffix_tokens)


def _marks(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the special tokens before and after any text."""
    bare = tokenizer("a", add_special_tokens=False).input_ids
    whole = tokenizer("a").input_ids
    start = next(n for n in range(len(whole)) if whole[n : n + len(bare)] == bare)
    return tuple(whole[:start]), tuple(whole[start + len(bare) :])


def _check_fixed(asked: str | None, fixed: str | None, way: str) -> None:
    """Refuse another language than the only one of a model; groups such as "ROMANCE" take all."""
    if asked is None or fixed is None or fixed.lower() not in KIN:
        return
    try:
        find_code(asked, [fixed])
    except UnknownLanguage:
        raise UnknownLanguage(f"the model translates {way} '{fixed}', not '{asked}'") from None


def _halves(text: str, start: int, end: int) -> tuple[Span, Span]:
    """Cut in two near the middle, between words if there are several."""
    middle = (start + end) // 2
    gaps = [match.span() for match in re.finditer(r"\s+", text[start:end])]
    gaps = [(start + a, start + b) for a, b in gaps if a > 0 and start + b < end]
    if not gaps:
        return (start, middle), (middle, end)
    left, right = min(gaps, key=lambda gap: abs(gap[0] - middle))
    return (start, left), (right, end)
