"""Tiny random models, one per task, built from a config in a second and saved like real ones.

A new task adds its line to TINY, and the contract test then covers it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors.stage import Row
from tests.tiny import reading, text


@dataclass(frozen=True)
class Case:
    """How to try a task: its model, rows that it answers, and rows that it rejects.

    `build` fills an empty folder with the model. `bad` maps the reject's code to the row.
    """

    build: Callable[[Path], Any]
    good: Sequence[Row]
    bad: dict[str, Row]
    options: dict[str, Any] = field(default_factory=dict)


TEXTS = [{"text": line} for line in text.LINES]
NOT_TEXT: dict[str, Row] = {"null_input": {"text": None}, "wrong_type": {"text": 7}}
EMPTY_TOO: dict[str, Row] = {**NOT_TEXT, "empty_text": {"text": " \n\t"}}

PAGES = [
    {"image": reading.png(reading.page("a page", "of text", size=size, seed=seed))}
    for seed, size in enumerate([(160, 96), (96, 160), (160, 96), (128, 128)])
]
NO_PAGES: dict[str, Row] = {
    "null_input": {"image": None},
    "wrong_type": {"image": 7},
    "empty_file": {"image": b""},
    "unreadable_image": {"image": b"not a picture"},
    "truncated_image": {"image": PAGES[0]["image"][:2000]},
}

TINY = {
    "ner": Case(text.bert_ner, TEXTS, NOT_TEXT),
    "ocr": Case(reading.pp_ocr, PAGES, NO_PAGES),
    "summarization": Case(text.bart, TEXTS, NOT_TEXT, {"max_new_tokens": 8}),
    "text-classification": Case(text.bert_classifier, TEXTS, EMPTY_TOO),
    "text-embedding": Case(text.bert_encoder, TEXTS, EMPTY_TOO),
}
