"""zero-shot-classification equals transformers' pipeline, and cosines called the plain way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers as hf
from pydantic import ValidationError

from actors.errors import StageFailed
from actors.models.embedded import prepare
from actors.nlp.zero_shot_classification import ZeroShotClassification
from actors.stage import Device, ModelFiles, Row
from actors.worker import Worker
from benchmarks.quality_text import TOPICS
from tests.close import assert_close
from tests.tiny import pairs, text
from tests.tiny.text import LINES, TEXTS

Build = Callable[..., ModelFiles]
LABELS = ("good", "a film", "Berlin in Germany")
BUILDS = [pairs.bert_pairs, pairs.roberta_pairs, pairs.deberta_pairs, pairs.bart_pairs]
# The pipeline finds the label of contradiction by its place, which must be the first or the last.
TWO = ("entailment", "not_entailment")


def classify(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    stage = ZeroShotClassification(**{"labels": LABELS, **options})
    return Worker(stage, files).answer(rows)


def plain(files: ModelFiles, line: str, labels: Any = LABELS, **options: Any) -> list[Any]:
    pipeline = hf.pipeline("zero-shot-classification", model=str(files.folder), device="cpu")
    found = pipeline(line, list(labels), **options)
    pairs_of = zip(found["labels"], found["scores"], strict=True)
    return [{"label": label, "score": score} for label, score in pairs_of]


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("many", [False, True])
def test_scores_equal_the_pipeline(build: Any, many: bool, tiny: Build) -> None:
    files = tiny(build)
    answers = classify(files, list(TEXTS), multi_label=many)
    expected = [plain(files, line, multi_label=many) for line in LINES]
    assert_close([answer["scores"] for answer in answers], expected, 1e-5)
    best = [{"label": answer["label"], "score": answer["score"]} for answer in answers]
    assert_close(best, [scores[0] for scores in expected], 1e-5)


def test_a_model_of_two_labels_and_a_template_equal_the_pipeline(tiny: Build) -> None:
    files, template = tiny(pairs.deberta_pairs, labels=TWO), "what is {} ?"
    options = {"multi_label": True, "hypothesis_template": template}
    expected = [plain(files, line, **options) for line in LINES]
    answers = classify(files, list(TEXTS), **options)
    assert_close([answer["scores"] for answer in answers], expected, 1e-5)


def test_a_row_s_own_labels_take_the_place_of_the_option_s(tiny: Build) -> None:
    files, own = tiny(pairs.bert_pairs), ["a cat", "a dog", "a machine", "Berlin"]
    given, none = classify(files, [{**TEXTS[0], "candidate_labels": one} for one in (own, None)])
    assert_close(given["scores"], plain(files, LINES[0], own), 1e-5)
    assert_close(none["scores"], plain(files, LINES[0]), 1e-5)


def cosines(files: ModelFiles, line: str, labels: Any) -> np.ndarray:
    pipeline = hf.pipeline("feature-extraction", model=str(files.folder), device="cpu")
    means = [np.array(pipeline(one)[0]).mean(axis=0) for one in (line, *labels)]
    one, *others = (mean / np.linalg.norm(mean) for mean in means)
    return np.asarray(np.stack(others) @ one)


def by_label(answer: Any, labels: Any) -> list[float]:
    scores = {one["label"]: one["score"] for one in answer["scores"]}
    return [scores[label] for label in labels]


def test_an_encoder_s_scores_are_a_softmax_of_cosines_or_the_cosines(tiny: Build) -> None:
    files = tiny(text.bert_encoder)
    expected = [cosines(files, line, LABELS) for line in LINES]
    alone = classify(files, list(TEXTS), multi_label=True)
    assert_close([by_label(a, LABELS) for a in alone], np.clip(expected, 0, 1), 1e-5)
    powers = np.exp(np.array(expected) / 0.5)
    shares = powers / powers.sum(axis=1, keepdims=True)
    together = classify(files, list(TEXTS), temperature=0.5)
    assert_close([by_label(a, LABELS) for a in together], shares, 1e-5)


def test_an_encoder_puts_own_labels_and_the_option_s_through_the_template(tiny: Build) -> None:
    files, own = tiny(text.roberta_encoder), ["a cat", "a dog"]
    rows = [{**TEXTS[0], "candidate_labels": one} for one in (own, None)]
    answers = classify(files, rows, multi_label=True, hypothesis_template="the {} .")
    for answer, labels in zip(answers, (own, LABELS), strict=True):
        expected = cosines(files, LINES[0], [f"the {label} ." for label in labels])
        assert_close(by_label(answer, labels), np.clip(expected, 0, 1), 1e-5)


@pytest.mark.parametrize("build", [pairs.bert_pairs, text.bert_encoder])
def test_a_long_text_is_cut_beside_its_labels_and_says_so(build: Any, tiny: Build) -> None:
    files, rows = tiny(build), [{"text": "good"}, {"text": "good film " * 100_000}]
    assert [a["label_truncated"] for a in classify(files, rows)] == [False, True]
    _, rejected = classify(files, rows, too_long="reject")
    assert rejected.reason == "too_long"


def test_only_the_text_is_cut(tiny: Build) -> None:
    files, long = tiny(pairs.roberta_pairs), "good film " * 100
    (answer,) = classify(files, [{"text": long}])
    assert_close(answer["scores"], plain(files, long), 1e-5)


def test_a_label_that_leaves_no_room_is_refused_or_its_row_rejected(tiny: Build) -> None:
    files, long = tiny(pairs.bert_pairs), "good " * 60
    with pytest.raises(StageFailed, match="leaves the text no room"):
        ZeroShotClassification(labels=("good", long)).load(files, Device())
    (answer,) = classify(files, [{**TEXTS[0], "candidate_labels": ["good", long]}])
    assert answer.reason == "too_long"


def test_a_label_longer_than_a_text_encoder_reads_is_refused_not_cut(tiny: Build) -> None:
    files, long = tiny(text.bert_encoder), "good " * 90
    with pytest.raises(StageFailed, match="a label has more than 64 tokens"):
        ZeroShotClassification(labels=("good", long)).load(files, Device())
    (answer,) = classify(files, [{**TEXTS[0], "candidate_labels": ["good", long]}])
    assert answer.reason == "too_long"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "Field required"),
        ({"labels": ()}, "at least 1"),
        ({"labels": ("good",)}, "at least two labels"),
        ({"labels": ("good", "good")}, "a label is there twice"),
        ({"labels": ("good", " ")}, "a label is blank"),
        ({"labels": LABELS, "hypothesis_template": "good"}, "must hold {} once"),
        ({"labels": LABELS, "temperature": 1, "multi_label": True}, "temperature does nothing"),
    ],
)
def test_labels_that_cannot_be_chosen_from_are_refused(options: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ZeroShotClassification(**options)


def test_one_label_may_hold_or_not(tiny: Build) -> None:
    files = tiny(pairs.bert_pairs)
    (answer,) = classify(files, [dict(TEXTS[0])], labels=("good",), multi_label=True)
    assert_close(answer["scores"], plain(files, LINES[0], ["good"]), 1e-5)


def test_a_classifier_of_something_else_is_refused() -> None:
    config = {
        "architectures": ["BertForSequenceClassification"],
        "id2label": {"0": "positive", "1": "negative"},
    }
    said = ZeroShotClassification(labels=LABELS).check(config)
    assert said is not None and said.endswith("config.json are: positive, negative")


@pytest.mark.embedded
def test_the_embedded_model_tells_four_topics_apart(cache: Path) -> None:
    files = ModelFiles(prepare("all-minilm-l6-v2", cache))
    rows = [{"text": line} for lines in TOPICS.values() for line in lines]
    answers = classify(files, rows, labels=tuple(TOPICS))
    topics = [topic for topic, lines in TOPICS.items() for _ in lines]
    assert sum(a["label"] == topic for a, topic in zip(answers, topics, strict=True)) >= 19
