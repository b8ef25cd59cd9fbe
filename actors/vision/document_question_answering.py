"""document-question-answering: the words of a page that answer a question."""

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from pydantic import field_validator

from actors.architecture import is_made_for, why_not
from actors.errors import RowRejected
from actors.image_stage import ImageStage
from actors.reading.lines import LINES
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option
from actors.text import full_text_of, not_blank

if TYPE_CHECKING:
    from actors.telling.pages import LayoutReader, Word
    from actors.telling.teller import Donut

BOXES = pa.list_(pa.struct([(side, pa.float32()) for side in ("xmin", "ymin", "xmax", "ymax")]))
"""Where words stand, in pixels of the upright picture."""

ANSWERS = pa.list_(pa.struct([("answer", pa.string()), ("score", pa.float32()), ("boxes", BOXES)]))

TRAINED_LENGTH = 512
"""Tokens of a window: what LayoutLM was trained with."""


class DocumentQuestionAnswering(ImageStage):
    """Finds what a page answers to a question, and where that stands.

    LayoutLM reads the `lines` of an `ocr` stage before it, and answers with words of the page:
    `boxes` says where each stands, in pixels (a line's words share its width by their characters).
    A score (0..1) is the share of the answer among all stretches of the page, over all windows of
    a long page together; `answers` are the best `top_k`, best first, and may overlap. A page
    without words has a null answer. Donut reads the page itself and writes one answer, without
    boxes; its score is the mean probability of its tokens, and `answer_truncated` says that it came
    to `max_new_tokens`. The question is the row's, or else the option's.
    """

    reads: ClassVar[Columns] = {"image": pa.binary(), "question": pa.string(), "lines": LINES}
    optional_reads: ClassVar[frozenset[str]] = frozenset({"question", "lines"})
    models: ClassVar[Defaults] = Defaults(hub="impira/layoutlm-document-qa", licence="MIT")
    rounds: ClassVar[bool] = True
    sample: ClassVar[Row] = {
        "question": "What is the total?",
        "lines": [
            {"text": "Total due 41.50", "score": 1.0, "polygon": None, "box": [80, 60, 240, 78]}
        ],
    }

    question: str | None = option(
        None, "What is asked of every page whose row has no question.", min_length=1
    )
    top_k: int = option(3, "LayoutLM: most answers in `answers`.", ge=1, le=1_000)
    max_answer_tokens: int = option(15, "LayoutLM: most tokens of an answer.", ge=1, le=100)
    max_length: int = option(
        TRAINED_LENGTH,
        "LayoutLM: tokens of a window, question and marks included; less where the model takes"
        " less.",
        ge=16,
        le=1_000_000,
    )
    overlap: int = option(
        256, "LayoutLM: tokens of the page that neighbouring windows share.", ge=0, le=4096
    )
    max_new_tokens: int = option(64, "Donut: most tokens of an answer.", ge=1, le=10_000)
    num_beams: int = option(1, "Donut: beams of the search; 1: greedy.", ge=1, le=64)

    _asks_something = field_validator("question")(not_blank)

    @property
    def writes(self) -> Columns:
        """The best answer, where it stands, the best few, and whether the limit cut it."""
        return {
            "answer": pa.string(),
            "score": pa.float32(),
            "boxes": BOXES,
            "answers": ANSWERS,
            "answer_truncated": pa.bool_(),
        }

    def inputs(self, config: Mapping[str, Any] | None) -> Columns:
        """Lines are for LayoutLM alone."""
        if config is None or config.get("model_type") == "layoutlm":
            return self.reads
        return {name: kind for name, kind in self.reads.items() if name != "lines"}

    def wired(self, inputs: Collection[str], config: Mapping[str, Any] | None) -> str | None:
        """LayoutLM needs lines; and a question must come from somewhere."""
        if "question" not in inputs and self.question is None:
            return (
                "document-question-answering has no question: name the column that holds one,"
                "  input: {question: COLUMN}\n"
                "  or ask the same of every page,  options: {question: 'What is the total?'}"
            )
        reads = config is None or config.get("model_type") == "layoutlm"
        if reads and "lines" not in inputs:
            return (
                "document-question-answering with LayoutLM reads column 'lines', the words of the"
                " page.\n  put a stage before it that makes them:  - task: ocr"
            )
        return None

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept LayoutLM for questions, and Donut."""
        if config.get("model_type") == "layoutlm" and is_made_for(config, "ForQuestionAnswering"):
            return None
        if _is_donut(config):
            return None
        needed = "a LayoutLMForQuestionAnswering or a Donut model"
        return why_not("document-question-answering", needed, config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model."""
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(files.folder, local_files_only=True).to_dict()
        if _is_donut(config):
            from actors.telling.teller import Donut

            settings = {"max_new_tokens": self.max_new_tokens, "num_beams": self.num_beams}
            return Writer(self, Donut(files.folder, device, self.image_backend, settings))
        from actors.telling.pages import LayoutReader

        return Finder(self, LayoutReader(files.folder, device, self.max_length))

    def question_of(self, row: Row) -> str:
        """Return what is asked of a row's page. Raises RowRejected."""
        if row.get("question") is None and self.question is not None:
            return self.question
        return full_text_of({"question": row.get("question")}, "question")

    def answer(self, found: Sequence[Row], cut: bool = False) -> Row:
        """Return the columns for answers, the best first."""
        best = found[0] if found else {"answer": None, "score": None, "boxes": None}
        return {**best, "answers": list(found), "answer_truncated": cut}


def _is_donut(config: Mapping[str, Any]) -> bool:
    encoder = (config.get("encoder") or {}).get("model_type", "")
    return config.get("model_type") == "vision-encoder-decoder" and "donut" in encoder


class Finder(Model):
    """A loaded LayoutLM; pages go through it in windows."""

    def __init__(self, stage: DocumentQuestionAnswering, reader: "LayoutReader") -> None:
        self.stage = stage
        self.reader = reader
        self.batching = reader.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per window of a page; none for a page without words."""
        return [self._windows(row) for row in rows]

    def _windows(self, row: Row) -> list[Item]:
        question, words = self.stage.question_of(row), self._words(row)
        # Only the picture's size is looked at: a JPEG need not be decoded in full for that.
        picture = self.stage.picture(row, side=1)
        size = (picture.width, picture.height)
        return self.reader.windows(question, words, size, self.stage.overlap)

    def _words(self, row: Row) -> "list[Word]":
        from actors.telling.pages import words_of

        lines = row.get("lines")
        if lines is None:
            raise RowRejected("null_input", "the row has no lines; the 'ocr' task makes them")
        if not isinstance(lines, list):
            raise RowRejected("wrong_type", f"'lines' is {type(lines).__name__}, expected a list")
        return words_of(lines)

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: its Reading, and the word of each of the page's tokens."""
        found = self.reader.read(items)
        return [(one, item.data.note.words) for one, item in zip(found, items, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Find the best words over all windows."""
        if not outputs:
            return self.stage.answer([])
        from actors.telling.pages import answered, best_words

        readings, (owners, *_) = zip(*outputs, strict=True)
        best = best_words(readings, owners, self.stage.max_answer_tokens)
        words = self._words(row)
        return self.stage.answer([answered(words, *one) for one in islice(best, self.stage.top_k)])


class Writer(Model):
    """A loaded Donut."""

    def __init__(self, stage: DocumentQuestionAnswering, donut: "Donut") -> None:
        self.stage = stage
        self.donut = donut
        self.batching = donut.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per page."""
        return [[self._item(row)] for row in rows]

    def _item(self, row: Row) -> Item:
        question = self.stage.question_of(row)
        return self.donut.item(self.stage.picture(row, self.donut.side), question)

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: what was written."""
        return list(self.donut.tell(items))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The only answer."""
        (written,) = outputs
        one = {"answer": written.text.strip(), "score": written.chance, "boxes": None}
        return self.stage.answer([one], cut=not written.ended)
