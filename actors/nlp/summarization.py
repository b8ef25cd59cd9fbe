"""summarization: the gist of a text, in its own best sentences or in new ones."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from actors.architecture import is_made_for, is_text_encoder, why_not
from actors.errors import RowRejected
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, Stage, option
from actors.text import SPAN, TEXT, text_of, unbroken
from actors.texts.sentences import choose, run_on, sentence_spans, within_words

if TYPE_CHECKING:
    from actors.texts.encoder import Encoder
    from actors.texts.sentence_encoder import SentenceEncoder

WRITERS = ("ForConditionalGeneration", "LMHeadModel")
"""Endings of the architectures that write summaries; encoders choose sentences."""

T5_PREFIX = "summarize: "
"""T5 was trained to be told its task so; other families were not."""

MOST_SENTENCES = 1_000
"""Sentences of one text that are compared: a book's chapter; MiniLM takes 5 CPU-s for them."""

LONGEST_SUMMARY = 142
"""Tokens, where neither option nor model says: what BART's summaries of news were trained with."""


class Summarization(Stage):
    """Says in few words what a text is about.

    A text encoder chooses the sentences that are most like the whole and least like each other,
    and keeps their order; lists and forms are taken line by line. A sequence-to-sequence model
    writes new sentences. `sentences` says where the chosen ones stand (null for written ones),
    `n_new_tokens` how many tokens were written (null for chosen ones), `summary_truncated` whether
    the text was longer than what was read. An empty text has an empty summary.
    """

    reads: ClassVar[Columns] = TEXT
    models: ClassVar[Defaults] = Defaults(
        hub="sshleifer/distilbart-cnn-12-6",
        licence="Apache-2.0",
        embedded="embedded:all-minilm-l6-v2",
    )

    max_sentences: int = option(3, "Chosen: most sentences.", ge=1, le=1_000)
    max_words: int | None = option(None, "Most words of the summary.", ge=1, le=100_000)
    max_new_tokens: int | None = option(
        None, "Written: most tokens; default: what the model states, else 142.", ge=1, le=100_000
    )
    num_beams: int | None = option(
        None, "Written: beams of the search; default: what the model states.", ge=1, le=64
    )
    too_long: Literal["truncate", "reject"] = option(
        "truncate",
        "A longer text than is read: summarize its beginning and set `summary_truncated`, or"
        " reject the row.",
    )

    @property
    def writes(self) -> Columns:
        """The summary, where it stands or how long it is, and whether the text was cut."""
        return {
            "summary": pa.string(),
            "sentences": pa.list_(SPAN),
            "n_new_tokens": pa.int32(),
            "summary_truncated": pa.bool_(),
        }

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept sequence-to-sequence models and text encoders."""
        if is_text_encoder(config) or _writes_text(config):
            return None
        needed = "a text encoder, or a sequence-to-sequence model (...ForConditionalGeneration)"
        return why_not("summarization", needed, config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load a writer or a chooser, whichever the model is."""
        from transformers import AutoConfig, AutoModelForSeq2SeqLM

        from actors.checkpoint import load_model
        from actors.texts.encoder import Encoder
        from actors.texts.sentence_encoder import SentenceEncoder

        config = AutoConfig.from_pretrained(files.folder, local_files_only=True)
        if not _writes_text(config.to_dict()):
            return Chooser(self, SentenceEncoder(files.folder, device))
        model = load_model(AutoModelForSeq2SeqLM, files.folder, device)
        return Writer(self, Encoder(model, files.folder, device))

    def answer(
        self,
        summary: str,
        sentences: list[dict[str, int]] | None = None,
        n_new_tokens: int | None = None,
        cut: bool = False,
    ) -> Row:
        """Return the columns of one row."""
        return {
            "summary": summary,
            "sentences": sentences,
            "n_new_tokens": n_new_tokens,
            "summary_truncated": cut,
        }


def _writes_text(config: Mapping[str, Any]) -> bool:
    return bool(config.get("is_encoder_decoder")) and is_made_for(config, *WRITERS)


class Chooser(Model):
    """Summaries out of a text's own sentences, by their vectors."""

    def __init__(self, stage: Summarization, sentences: "SentenceEncoder") -> None:
        self.stage = stage
        self.sentences = sentences
        self.batching = sentences.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per sentence; none for a text of one sentence, which is its own summary."""
        found = [self._sentences(text_of(row)) for row in rows]
        tokens = iter(self.sentences.encoder.encode([text for texts in found for text in texts]))
        return [[next(tokens).item() for _ in texts] for texts in found]

    def _sentences(self, text: str) -> list[str]:
        spans = sentence_spans(text)[:MOST_SENTENCES]
        self._check_length(text, spans)
        return [unbroken(text[a:b])[0] for a, b in spans] if len(spans) > 1 else []

    def _check_length(self, text: str, spans: Sequence[tuple[int, int]]) -> None:
        if self.stage.too_long == "reject" and len(spans) == MOST_SENTENCES:
            raise RowRejected("too_long", f"the text has {MOST_SENTENCES} sentences or more")

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: the sentence's vector."""
        return list(self.sentences.vectors(items))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Choose sentences, and join them in their order."""
        text, stage = row["text"], self.stage
        spans = sentence_spans(text)
        chosen = list(range(len(spans)))[:1]
        if outputs:
            words = [len(text[a:b].split()) for a, b in spans[: len(outputs)]]
            chosen = choose(np.stack(outputs), words, stage.max_sentences, stage.max_words)
        parts = [unbroken(text[slice(*spans[number])])[0] for number in chosen]
        places = [dict(zip(("start", "end"), spans[number], strict=True)) for number in chosen]
        summary = within_words(run_on(parts), stage.max_words)
        return stage.answer(summary, places, cut=len(spans) > MOST_SENTENCES)


class Writer(Model):
    """Summaries that a sequence-to-sequence model writes."""

    def __init__(self, stage: Summarization, encoder: "Encoder") -> None:
        self.stage = stage
        self.encoder = encoder
        self.batching = encoder.writing(stage.num_beams)
        self.prefix = T5_PREFIX if encoder.model.config.model_type == "t5" else ""
        self.settings = self._settings(encoder.model.generation_config)

    def _settings(self, stated: Any) -> dict[str, Any]:
        most = self.stage.max_new_tokens
        if most is None and not (stated.max_length or stated.max_new_tokens):
            most = LONGEST_SUMMARY
        chosen = {"max_new_tokens": most, "num_beams": self.stage.num_beams}
        return {name: value for name, value in chosen.items() if value is not None}

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per text, its tokens; none for an empty text."""
        texts = [text_of(row) for row in rows]
        read = [self.prefix + unbroken(text)[0] for text in texts]
        return [
            [self.encoder.check_length(tokens, self.stage.too_long).item()] if text.strip() else []
            for text, tokens in zip(texts, self.encoder.encode(read), strict=True)
        ]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: the summary, its number of tokens, and whether the text was cut."""
        found = self.encoder.generate(items, self.settings)
        return [
            (text, count, item.data.cut) for (text, count), item in zip(found, items, strict=True)
        ]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Keep the summary within its words."""
        text, count, cut = outputs[0] if outputs else ("", 0, False)
        summary = within_words(text, self.stage.max_words)
        return self.stage.answer(summary, n_new_tokens=count, cut=cut)
