"""question-answering equals its definition, written out over the plain model's outputs."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from pydantic import ValidationError

from actors.nlp.question_answering import QuestionAnswering
from actors.stage import ModelFiles, Row
from actors.texts.spans import Reading, likeliest, span_shares, whole_words
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import pairs
from tests.tiny.text import LINES

Build = Callable[..., ModelFiles]
BUILDS = [
    pairs.bert_answerer,
    pairs.roberta_answerer,
    pairs.distilbert_answerer,
    pairs.bart_answerer,
]
QUESTION = "what is good ?"
LONG = " ".join(LINES * 2)
Weights = tuple[np.ndarray, np.ndarray, Any, list[int]]


def ask(files: ModelFiles, *contexts: str, **options: Any) -> list[Any]:
    rows: list[Row] = [{"question": QUESTION, "context": context} for context in contexts]
    return Worker(QuestionAnswering(**options), files).answer(rows)


def weights(files: ModelFiles, context: str) -> list[Weights]:
    """Per window: exp of start and end logits, the tokens' offsets, which tokens are context."""
    tokenizer = hf.AutoTokenizer.from_pretrained(files.folder)
    model = hf.AutoModelForQuestionAnswering.from_pretrained(files.folder)
    found = tokenizer(
        *(QUESTION, context),
        **{"truncation": "only_second", "max_length": 64, "stride": 8},
        **{"return_overflowing_tokens": True, "return_offsets_mapping": True},
    )
    windows = []
    for n in range(len(found["input_ids"])):
        inputs = {k: torch.tensor([found[k][n]]) for k in tokenizer.model_input_names}
        with torch.inference_mode():
            out = model(**inputs)
        powers = [one[0].double().exp().numpy() for one in (out.start_logits, out.end_logits)]
        inside = [place for place, text in enumerate(found.sequence_ids(n)) if text == 1]
        windows.append((*powers, found["offset_mapping"][n], inside))
    return windows


def shares(windows: list[Weights], most: int) -> tuple[dict[Any, float], float]:
    """The share of each stretch (its first token and its last) and of no answer."""
    weight: dict[Any, float] = defaultdict(float)
    least = min(range(len(windows)), key=lambda n: windows[n][0][0] * windows[n][1][0])
    total = none = 0.0
    step = len(windows[0][3]) - 8
    for n, (starts, ends, _, inside) in enumerate(windows):
        counted = [0, *inside] if n == least else inside
        total += starts[counted].sum() * ends[counted].sum()
        none += starts[0] * ends[0] if n == least else 0.0
        moved = n * step - inside[0]
        for a in inside:
            for b in range(a, min(a + most, inside[-1] + 1)):
                weight[a + moved, b + moved] += starts[a] * ends[b]
    return {span: one / total for span, one in weight.items()}, none / total


def in_words(files: ModelFiles, context: str, found: dict[Any, float]) -> list[Any]:
    """The stretches widened to whole words, each once, best first."""
    tokenizer = hf.AutoTokenizer.from_pretrained(files.folder)
    encoded = tokenizer(context, add_special_tokens=False)
    best: dict[Any, float] = {}
    for (a, b), score in sorted(found.items(), key=lambda one: -one[1]):
        start = encoded.word_to_chars(encoded.token_to_word(a)).start
        end = encoded.word_to_chars(encoded.token_to_word(b)).end
        start += len(context[start:end]) - len(context[start:end].lstrip())
        if start < end:
            best.setdefault((start, end), score)
    return [{"text": context[a:b], "score": s, "start": a, "end": b} for (a, b), s in best.items()]


@pytest.mark.parametrize("build", BUILDS)
def test_answers_over_several_windows_are_as_defined(build: Any, tiny: Build) -> None:
    files = tiny(build)
    windows = weights(files, LONG)
    found, none = shares(windows, 4)
    (answer,) = ask(files, LONG, overlap=8, max_answer_tokens=4, top_k=40)
    assert len(windows) > 2
    assert_close(answer["answers"], in_words(files, LONG, found)[:40], 1e-5)
    assert abs(answer["no_answer_score"] - none) < 1e-5


@pytest.mark.parametrize("build", BUILDS)
def test_in_one_window_a_score_is_a_product_of_two_softmaxes(build: Any, tiny: Build) -> None:
    files = tiny(build)
    short = LINES[:3]
    for line, answer in zip(short, ask(files, *short, max_answer_tokens=1, top_k=1), strict=True):
        ((starts, ends, offsets, inside),) = weights(files, line)
        seen = [0, *inside]
        product = starts * ends / (starts[seen].sum() * ends[seen].sum())
        best = max(inside, key=lambda n: product[n])
        assert abs(answer["score"] - product[best]) < 1e-5
        assert answer["start"] <= offsets[best][0] < offsets[best][1] <= answer["end"]
        assert abs(answer["no_answer_score"] - product[0]) < 1e-5


def test_a_model_with_another_family_s_tokenizer_is_not_given_what_it_cannot_read(
    tiny: Build,
) -> None:
    both = [tiny(pairs.distilbert_answerer, **kind) for kind in ({}, {"kind": hf.BertTokenizer})]
    own, other = (ask(files, LONG) for files in both)
    assert_close(other, own, 1e-6)


def test_an_answer_is_what_stands_in_the_context_as_given(tiny: Build) -> None:
    contexts = [LONG, "\0 Ada 😀👩‍👩‍👧 in  London .", "שלום עולם", "\u202eabc \ufeff d"]
    for context, answer in zip(contexts, ask(tiny(BUILDS[1]), *contexts, top_k=9), strict=True):
        for one in answer["answers"]:
            assert context[one["start"] : one["end"]] == one["text"] == one["text"].strip() != ""


def test_no_answer_wins_only_where_it_is_asked_for_and_by_its_margin(tiny: Build) -> None:
    files = tiny(BUILDS[0])
    (plain,) = ask(files, LINES[0])
    gap = plain["no_answer_score"] - plain["score"]
    margins = {"below": gap - 0.01, "above": gap + 0.01}
    found = {
        name: ask(files, LINES[0], no_answer=True, no_answer_margin=margin)[0]
        for name, margin in margins.items()
    }
    nothing = {"answer": None, "score": None, "start": None, "end": None, "has_answer": False}
    assert found["above"] == plain and plain["has_answer"] is True
    assert found["below"] == {**plain, **nothing}


def test_a_margin_without_no_answer_is_refused() -> None:
    with pytest.raises(ValidationError, match="no_answer_margin is given, but no_answer is false"):
        QuestionAnswering(no_answer_margin=0.1)


def test_nothing_is_answered_where_no_stretch_reaches_the_threshold(tiny: Build) -> None:
    (answer,) = ask(tiny(BUILDS[0]), LINES[0], threshold=1.0)
    assert (answer["answer"], answer["has_answer"], answer["answers"]) == (None, False, [])


def test_a_context_without_tokens_has_no_answer(tiny: Build) -> None:
    (answer,) = ask(tiny(BUILDS[0]), "\0\ufffd")
    assert (answer["has_answer"], answer["no_answer_score"]) == (False, None)


def test_a_megabyte_is_answered(tiny: Build) -> None:
    context = "good film " * 20_000 + "Berlin" + " good film" * 20_000
    (answer,) = ask(tiny(BUILDS[0]), context, overlap=0)
    assert context[answer["start"] : answer["end"]] == answer["answer"]


def test_the_likeliest_come_first_also_beyond_the_first_handful() -> None:
    grid = np.random.default_rng(0).random((100, 7), dtype=np.float32)
    found = list(likeliest(grid))
    assert [score for *_, score in found] == sorted(grid.ravel().tolist(), reverse=True)
    assert all(grid[first, last - first] == np.float32(score) for first, last, score in found)


def test_a_window_that_holds_nothing_does_not_outbid_the_one_that_does() -> None:
    low, high = np.full(50, -4, np.float32), np.full(50, -4, np.float32)
    high[20] = 6
    sure = Reading(0, high, high, (0.0, 0.0))
    windows = [sure, *(Reading(50 * n, low, low, (8.0, 8.0)) for n in range(1, 10))]
    (alone, _), (together, none) = (span_shares(some, 15) for some in ([sure], windows))
    assert float(alone[20, 0]) > 0.98 and float(together[20, 0]) > 0.98
    assert none is not None and none < 0.01
    assert together.sum() + none <= 1 + 1e-5


def test_a_tokenizer_that_knows_one_word_leaves_tokens_as_they_are() -> None:
    offsets = np.array([[0, 2], [2, 4], [5, 7]])
    assert whole_words(offsets, np.zeros(3, int)).tolist() == offsets.tolist()
    assert whole_words(offsets, np.array([0, 0, 1])).tolist() == [[0, 4], [0, 4], [5, 7]]
