"""text-classification equals transformers, called the plain way and through its pipeline."""

from collections.abc import Callable
from typing import Any

import pytest
import transformers as hf

from actors.errors import RowRejected
from actors.nlp.text_classification import TextClassification
from actors.stage import ModelFiles, Row
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import text

Build = Callable[..., ModelFiles]
ROWS: list[Row] = [{"text": line} for line in text.LINES]
STRANGE = [
    "\0",
    "a\0b",
    "😀👩‍👩‍👧 🇫🇷",
    "שלום עולם",
    "\u202eabc",
    "\ufeff",
    "ö" * 300,
    "[SEP] [CLS]",
]


def classify(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(TextClassification(**options), files).answer(rows)


@pytest.mark.parametrize("build", [text.bert_classifier, text.roberta_classifier])
def test_scores_equal_the_pipeline(build: Any, tiny: Build) -> None:
    files = tiny(build)
    pipeline = hf.pipeline("text-classification", model=str(files.folder), device="cpu")
    expected = pipeline(text.LINES, top_k=3)
    answers = classify(files, ROWS)
    assert_close([answer["scores"] for answer in answers], expected, 1e-5)
    best = [{"label": answer["label"], "score": answer["score"]} for answer in answers]
    assert_close(best, [scores[0] for scores in expected], 1e-5)


@pytest.mark.parametrize("build", [text.bert_classifier, text.roberta_classifier])
def test_several_labels_may_hold_where_the_model_says_so(build: Any, tiny: Build) -> None:
    files = tiny(build, problem_type="multi_label_classification")
    pipeline = hf.pipeline("text-classification", model=str(files.folder), device="cpu")
    expected = pipeline(text.LINES, top_k=None)
    assert_close([a["scores"] for a in classify(files, ROWS)], expected, 1e-5)
    sure = [[one for one in scores if one["score"] >= 0.6] for scores in expected]
    assert_close([a["scores"] for a in classify(files, ROWS, threshold=0.6)], sure, 1e-5)


def test_a_regression_answers_its_plain_number(tiny: Build) -> None:
    files = tiny(text.bert_classifier, labels=1, problem_type="regression")
    pipeline = hf.pipeline("text-classification", model=str(files.folder), device="cpu")
    found = [{"label": a["label"], "score": a["score"]} for a in classify(files, ROWS)]
    assert_close(found, pipeline(text.LINES), 1e-5)


def test_no_label_is_named_where_none_reaches_the_threshold(tiny: Build) -> None:
    (answer,) = classify(tiny(text.bert_classifier), ROWS[:1], threshold=1.0)
    assert answer == {"label": None, "score": None, "scores": [], "label_truncated": False}


def test_a_long_text_is_cut_and_says_so_or_is_rejected(tiny: Build) -> None:
    files, rows = tiny(text.bert_classifier), [{"text": "good " * 62}, {"text": "good " * 63}]
    assert [a["label_truncated"] for a in classify(files, rows)] == [False, True]
    kept, rejected = classify(files, rows, too_long="reject")
    assert kept["label_truncated"] is False
    assert isinstance(rejected, RowRejected) and rejected.reason == "too_long"


def test_strange_characters_are_answered(tiny: Build) -> None:
    answers = classify(tiny(text.roberta_classifier), [{"text": one} for one in STRANGE])
    assert [type(answer) for answer in answers] == [dict] * len(STRANGE)


def test_half_a_surrogate_pair_is_rejected(tiny: Build) -> None:
    (answer,) = classify(tiny(text.bert_classifier), [{"text": "a\ud800b"}])
    assert answer.reason == "invalid_text"


def test_a_megabyte_of_text_is_answered(tiny: Build) -> None:
    rows: list[Row] = [{"text": "good film " * 100_000}, {"text": "x" * 1_000_000}]
    answers = classify(tiny(text.bert_classifier), rows)
    assert [answer["label_truncated"] for answer in answers] == [True, False]
