"""question-answering: the words of a text that answer a question."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from actors.architecture import is_made_for, why_not
from actors.errors import StageFailed
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, Stage, option
from actors.text import full_text_of, trimmed
from actors.texts.spans import Reading, likeliest, span_shares, whole_words

if TYPE_CHECKING:
    from actors.texts.pairs import Located, Pairs, Stretch

ANSWER = {
    "answer": pa.string(),
    "score": pa.float32(),
    "start": pa.int32(),
    "end": pa.int32(),
}
ANSWERS = pa.list_(
    pa.struct([("text" if name == "answer" else name, kind) for name, kind in ANSWER.items()])
)

TRAINED_LENGTH = 384
"""Tokens of a window: what models of the BERT family were trained on SQuAD with."""


class QuestionAnswering(Stage):
    """Finds the words of a context that answer a question.

    `start` and `end` are code points of the context as given, `answer` is exactly what stands
    there, whole words. `answers` are the best `top_k`, best first; they may overlap. A score (0..1)
    is the share of the answer among all stretches of the context, over all its windows together.
    `no_answer_score` is that of "the context does not answer this"; where it wins, and `no_answer`
    is set, or where nothing reaches the threshold, `has_answer` is false and the answer null. Empty
    texts are rejected (empty_text), and questions of more than half a window (too_long).
    """

    reads: ClassVar[Columns] = {"question": pa.string(), "context": pa.string()}
    models: ClassVar[Defaults] = Defaults(
        hub="distilbert/distilbert-base-cased-distilled-squad", licence="Apache-2.0"
    )
    sample: ClassVar[Row] = {
        "question": "Where was Ada Lovelace born?",
        "context": "Ada Lovelace was born in London. She worked with Charles Babbage.",
    }

    top_k: int = option(3, "Most answers in `answers`.", ge=1, le=1_000)
    threshold: float = option(0.0, "Leave out answers that score less.", ge=0, le=1)
    no_answer: bool = option(
        False,
        "Let the model say that the context holds no answer. Only for models that were trained to,"
        " such as on SQuAD 2: others mean nothing by it.",
    )
    no_answer_margin: float = option(
        0.0,
        "By how much the score of no answer must exceed the best answer's to win.",
        ge=-1,
        le=1,
    )
    max_answer_tokens: int = option(15, "Most tokens of an answer.", ge=1, le=100)
    max_length: int = option(
        TRAINED_LENGTH,
        "Tokens of a window, question and marks included; less where the model takes less.",
        ge=16,
        le=1_000_000,
    )
    overlap: int = option(
        128, "Tokens of the context that neighbouring windows share.", ge=0, le=4096
    )

    @model_validator(mode="after")
    def _margin_is_used(self) -> "QuestionAnswering":
        if self.no_answer_margin and not self.no_answer:
            raise ValueError("no_answer_margin is given, but no_answer is false: set it to true")
        return self

    @property
    def writes(self) -> Columns:
        """The best answer and where it stands, whether there is one, and the best few."""
        return {
            **ANSWER,
            "has_answer": pa.bool_(),
            "no_answer_score": pa.float32(),
            "answers": ANSWERS,
        }

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models that were trained to find answers."""
        if is_made_for(config, "ForQuestionAnswering"):
            return None
        return why_not("question-answering", "a ...ForQuestionAnswering model", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model."""
        from transformers import AutoModelForQuestionAnswering

        from actors.checkpoint import load_model
        from actors.texts.encoder import Encoder
        from actors.texts.pairs import Pairs

        model = load_model(AutoModelForQuestionAnswering, files.folder, device)
        return Answerer(self, Pairs(Encoder(model, files.folder, device, self.max_length)))


class Answerer(Model):
    """A loaded finder of answers; contexts go through it in windows."""

    def __init__(self, stage: QuestionAnswering, pairs: "Pairs") -> None:
        self.stage = stage
        self.pairs = pairs
        self.batching = pairs.encoder.batching
        places = np.flatnonzero(pairs.frame.before == pairs.encoder.tokenizer.cls_token_id)
        self.none = int(places[0]) if len(places) else None
        if stage.no_answer and self.none is None:
            raise StageFailed("the model has no mark for 'no answer': set no_answer to false")

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per window of the context; none for one without tokens."""
        questions = self.pairs.ids([full_text_of(row, "question") for row in rows])
        contexts = self.pairs.located([full_text_of(row, "context") for row in rows])
        return [
            self._windows(question, context)
            for question, context in zip(questions, contexts, strict=True)
        ]

    def _windows(self, question: np.ndarray, context: "Located") -> list[Item]:
        """Each window's note is its Stretch, and where the words of the context's tokens stand."""
        places = whole_words(context.offsets, context.words)
        windows = self.pairs.windows(question, context.ids, self.stage.overlap)
        return [replace(window, note=(window.note, places)).item() for window in windows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: its Reading, and where the words of the context's tokens stand."""
        starts, ends = self.pairs.encoder.outputs(items, "start_logits", "end_logits")
        return [
            (self._reading(item.data.note[0], *logits), item.data.note[1])
            for item, *logits in zip(items, starts, ends, strict=True)
        ]

    def _reading(self, at: "Stretch", starts: np.ndarray, ends: np.ndarray) -> Reading:
        context = slice(at.place, at.place + at.last - at.first)
        none = None if self.none is None else (float(starts[self.none]), float(ends[self.none]))
        return Reading(at.first, starts[context], ends[context], none)

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Find the best answers over all windows, and say whether one of them is good enough."""
        stage, found, none = self.stage, list[Row](), None
        if outputs:
            readings, (places, *_) = zip(*outputs, strict=True)
            shares, none = span_shares(readings, stage.max_answer_tokens)
            found = list(islice(self._answers(row["context"], places, shares), stage.top_k))
        best = found[0]["score"] if found else 0.0
        refused = stage.no_answer and none is not None and none - best > stage.no_answer_margin
        first = None if refused or not found else found[0]
        named = {name: first and first["text" if name == "answer" else name] for name in ANSWER}
        return {
            **named,
            "has_answer": first is not None,
            "no_answer_score": none,
            "answers": found,
        }

    def _answers(self, context: str, places: np.ndarray, shares: np.ndarray) -> Iterator[Row]:
        """Yield answers from the best down, each stretch of words once."""
        seen: set[tuple[int, int]] = set()
        for first, last, score in likeliest(shares):
            if score < self.stage.threshold:
                return
            start, end = trimmed(context, int(places[first, 0]), int(places[last, 1]))
            if start < end and (start, end) not in seen:
                seen.add((start, end))
                yield {"text": context[start:end], "score": score, "start": start, "end": end}
