"""text-similarity and text-ranking equal transformers called the plain way."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from actors.nlp.text_embedding import TextEmbedding
from actors.nlp.text_ranking import TextRanking
from actors.nlp.text_similarity import TextSimilarity
from actors.stage import ModelFiles, Row, Stage
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import pairs, text
from tests.tiny.text import LINES

Build = Callable[..., ModelFiles]
ROWS: list[Row] = [{"text": a, "other_text": b} for a, b in pairs.PAIRED]
QUERIES: list[Row] = [{"query": line, "documents": LINES} for line in LINES]


def answers(stage: Stage, files: ModelFiles, rows: list[Row]) -> list[Any]:
    return Worker(stage, files).answer(rows)


def cosines(files: ModelFiles) -> np.ndarray:
    """Of LINES with LINES, by token vectors of transformers' pipeline."""
    pipeline = hf.pipeline("feature-extraction", model=str(files.folder), device="cpu")
    means = np.stack([np.array(pipeline(line)[0]).mean(axis=0) for line in LINES])
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T)


def cross(files: ModelFiles) -> np.ndarray:
    """A cross-encoder's logits of LINES with LINES, pair by pair."""
    tokenizer = hf.AutoTokenizer.from_pretrained(files.folder)
    model = hf.AutoModelForSequenceClassification.from_pretrained(files.folder)
    with torch.inference_mode():
        found = [
            model(**tokenizer(a, b, truncation=True, return_tensors="pt")).logits.item()
            for a in LINES
            for b in LINES
        ]
    return np.array(found).reshape(len(LINES), len(LINES))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-logits)))


def neighbours(matrix: np.ndarray) -> list[float]:
    size = len(LINES)
    return [float(matrix[n, (n + 1) % size]) for n in range(size)]


@pytest.mark.parametrize("build", [text.bert_encoder, text.roberta_encoder])
def test_similarity_is_the_cosine_of_the_vectors(build: Any, tiny: Build) -> None:
    files = tiny(build)
    found = [answer["similarity"] for answer in answers(TextSimilarity(), files, ROWS)]
    assert_close(found, neighbours(cosines(files)), 1e-5)


def test_similarity_is_what_a_cross_encoder_says(tiny: Build) -> None:
    files = tiny(pairs.bert_cross_encoder)
    found = [answer["similarity"] for answer in answers(TextSimilarity(), files, ROWS)]
    assert_close(found, neighbours(sigmoid(cross(files))), 1e-5)
    plain = answers(TextSimilarity(activation="none"), files, ROWS)
    assert_close([answer["similarity"] for answer in plain], neighbours(cross(files)), 1e-5)


@pytest.mark.parametrize(
    ("build", "scores_of"),
    [(text.bert_encoder, cosines), (pairs.bert_cross_encoder, lambda f: sigmoid(cross(f)))],
)
def test_documents_are_ranked_by_their_scores(build: Any, scores_of: Any, tiny: Build) -> None:
    files = tiny(build)
    expected = [
        [{"index": int(n), "score": scores[n]} for n in np.argsort(-scores)][:3]
        for scores in scores_of(files)
    ]
    found = answers(TextRanking(top_k=3), files, QUERIES)
    assert_close([answer["ranking"] for answer in found], expected, 1e-5)


@pytest.mark.parametrize("build", [text.bert_encoder, pairs.bert_cross_encoder])
def test_a_list_may_be_empty_or_hold_an_empty_document(build: Any, tiny: Build) -> None:
    rows: list[Row] = [{"query": "good", "documents": found} for found in ([], ["", "good film"])]
    none, some = answers(TextRanking(), tiny(build), rows)
    assert none == {"ranking": [], "ranking_truncated": False}
    assert sorted(one["index"] for one in some["ranking"]) == [0, 1]


def test_a_null_among_the_documents_is_rejected_with_its_place(tiny: Build) -> None:
    row = {"query": "good", "documents": ["good", None]}
    (answer,) = answers(TextRanking(), tiny(text.bert_encoder), [row])
    assert (answer.reason, "documents[1]" in answer.message) == ("null_input", True)


@pytest.mark.parametrize("build", [text.bert_encoder, pairs.bert_cross_encoder])
def test_a_cut_text_is_told_or_rejected(build: Any, tiny: Build) -> None:
    files, row = tiny(build), {"text": "good", "other_text": "good " * 200_000}
    assert answers(TextSimilarity(), files, [row])[0]["similarity_truncated"] is True
    assert answers(TextSimilarity(too_long="reject"), files, [row])[0].reason == "too_long"


def test_strange_characters_are_compared(tiny: Build) -> None:
    texts = ["\0", "😀👩‍👩‍👧 🇫🇷", "שלום עולם", "\u202eabc"]
    rows = [{"text": one, "other_text": one} for one in texts]
    found = answers(TextSimilarity(), tiny(text.roberta_encoder), rows)
    assert_close([answer["similarity"] for answer in found], [1.0] * 4, 1e-5)


@pytest.mark.parametrize("build", [text.bert_classifier, pairs.bert_answerer])
def test_a_model_that_does_not_compare_is_refused(build: Any, tiny: Build) -> None:
    config = json.loads((tiny(build).folder / "config.json").read_text())
    assert "comparing texts needs a text encoder" in str(TextRanking().check(config))


def test_a_similarity_is_that_of_the_embeddings(tiny: Build) -> None:
    files = tiny(text.bert_encoder)
    found = answers(TextEmbedding(), files, [{"text": line} for line in LINES])
    vectors = np.stack([answer["embedding"] for answer in found])
    similar = [answer["similarity"] for answer in answers(TextSimilarity(), files, ROWS)]
    assert_close(similar, neighbours(vectors @ vectors.T), 1e-6)
