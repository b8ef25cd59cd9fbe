"""translation: a text in another language."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa

from actors.architecture import is_made_for, why_not
from actors.errors import RowRejected, StageFailed
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, Stage, option
from actors.text import text_of
from actors.writing.language_codes import UnknownLanguage, is_spaced

if TYPE_CHECKING:
    from actors.texts.sentences import Span
    from actors.writing.generation import Written
    from actors.writing.translator import Translator

FAMILIES = frozenset({"m2m_100", "marian", "mbart", "mt5", "nllb-moe", "t5"})
"""Families that are told languages in a way that is known here."""

TOLD_THE_SOURCE = frozenset({"m2m_100", "mbart", "nllb-moe"})
"""Families that must be told the source language; MADLAD (t5) and Marian find it themselves."""


class Translation(Stage):
    """Translates a text from one language into another.

    Languages are written as "de", "deu", "de-AT" or as the model spells them ("deu_Latn"), in the
    options or row by row in columns; a language that the model does not have is an error that
    names the nearest. Texts of any length are translated sentence by sentence and joined as they
    stood, so nothing is left out; `translation_truncated` says that a part's translation came to
    max_new_tokens before its end. An empty text has an empty translation; a text whose source is
    named, and is the target language, stays as it is. M2M100, NLLB and mBART-50 know many
    languages; MADLAD finds the source itself; T5 knows English, German, French and Romanian; Marian
    models (Helsinki-NLP/opus-mt-en-de) know one pair and are the fastest.
    """

    reads: ClassVar[Columns] = {
        "text": pa.string(),
        "source_language": pa.string(),
        "target_language": pa.string(),
    }
    optional_reads: ClassVar[frozenset[str]] = frozenset({"source_language", "target_language"})
    models: ClassVar[Defaults] = Defaults(hub="facebook/m2m100_418M", licence="MIT")
    example: ClassVar[Mapping[str, Any]] = {"source": "en", "target": "de"}
    sample: ClassVar[Row] = {"text": "The ship sails at noon. Bring your own lunch."}

    source: str | None = option(
        None, "Language of the texts, where the column source_language does not say.", min_length=2
    )
    target: str | None = option(
        None, "Language to write, where the column target_language does not say.", min_length=2
    )
    split: Literal["sentences", "paragraphs"] = option(
        "sentences",
        "What is translated by itself: each sentence, as most models were trained; or as many"
        " sentences of a paragraph as the model takes, which then know of each other.",
    )
    max_parts: int = option(
        1_000, "Most such parts of one text; a longer one is rejected (too_long).", ge=1, le=100_000
    )
    max_new_tokens: int | None = option(
        None, "Most tokens written for a part; default: what the model states.", ge=1, le=100_000
    )
    num_beams: int | None = option(
        None, "Beams of the search; default: what the model states.", ge=1, le=64
    )

    @property
    def writes(self) -> Columns:
        """The translation, its tokens, and whether it was cut off anywhere."""
        return {
            "translation": pa.string(),
            "n_new_tokens": pa.int32(),
            "translation_truncated": pa.bool_(),
        }

    def wired(self, inputs: Collection[str], config: Mapping[str, Any] | None) -> str | None:
        """Languages must come from somewhere."""
        if self.target is None and "target_language" not in inputs:
            return "which language to write?  options: {target: de}  or a column target_language"
        told = (config or {}).get("model_type") in TOLD_THE_SOURCE
        if told and self.source is None and "source_language" not in inputs:
            return (
                "the model must be told the source:  options: {source: en}"
                "  or a column source_language"
            )
        return None

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept encoder-decoders of the families that translate."""
        writes = is_made_for(config, "ForConditionalGeneration", "MTModel")
        if writes and config.get("model_type") in FAMILIES:
            return None
        return why_not("translation", f"a model of {', '.join(sorted(FAMILIES))}", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model; languages of the options that it does not have are refused."""
        from actors.writing.translator import Translator

        return Interpreter(self, Translator(files.folder, device))


class Interpreter(Model):
    """A loaded model that translates."""

    def __init__(self, stage: Translation, translator: "Translator") -> None:
        self.stage = stage
        self.translator = translator
        self.limit = translator.limit(stage.max_new_tokens)
        self.batching = translator.generation.batching(stage.num_beams)
        self._check()

    def _check(self) -> None:
        """Raise StageFailed if the options name a language that the model does not have."""
        try:
            self.translator.check(self.stage.source, self.stage.target)
        except UnknownLanguage as error:
            raise StageFailed(f"translation: {error}") from error

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per part of a text."""
        return [self._items(row) for row in rows]

    def _items(self, row: Row) -> list[Item]:
        text = text_of(row)
        try:
            route = self.translator.route(*self._languages(row))
        except UnknownLanguage as error:
            raise RowRejected("unknown_language", str(error)) from error
        if route.stays:
            return []
        parts = self.translator.parts(text, route, self.stage.split == "sentences")
        if len(parts) > self.stage.max_parts:
            many = f"the text has {len(parts)} parts, and max_parts is {self.stage.max_parts}"
            raise RowRejected("too_long", many)
        return [Item(part, cost=len(part.ids), shape=len(part.ids)) for part in parts]

    def _languages(self, row: Row) -> tuple[str | None, str]:
        """Return source and target of a row: its own, else the options'."""
        source = row.get("source_language") or self.stage.source
        target = row.get("target_language") or self.stage.target
        if target is None:
            raise RowRejected("null_input", "the row names no target_language, nor do the options")
        for code in (source, target):
            if code is not None:
                text_of({"language": code}, "language")
        return source, target

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: where the part stands, and its translation."""
        settings = {"max_new_tokens": self.limit, "num_beams": self.stage.num_beams}
        known = {name: value for name, value in settings.items() if value is not None}
        written = self.translator.translate(items, known)
        return [(item.data.span, one) for item, one in zip(items, written, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Join the translations with what stood between the parts."""
        source, target = self._languages(row)
        stays = self.translator.route(source, target).stays
        written = joined(row["text"], outputs, " " if is_spaced(target) else "")
        return {
            "translation": row["text"] if stays else written,
            "n_new_tokens": sum(one.count for _, one in outputs),
            "translation_truncated": not all(one.ended for _, one in outputs),
        }


def joined(text: str, outputs: "Sequence[tuple[Span, Written]]", usual: str) -> str:
    """Join the parts' translations with the white space between them, or `usual` where the
    source's language writes none."""
    found = ""
    before = None
    for (start, end), one in outputs:
        if before is not None:
            found += text[before:start] or usual
        found += one.text.strip()
        before = end
    return found
