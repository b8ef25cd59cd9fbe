"""The text tasks with real weights: equal to the libraries' own answers, and sensible."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers as hf

from actors.models.embedded import prepare
from actors.nlp.ner import Ner
from actors.nlp.summarization import Summarization
from actors.nlp.text_embedding import TextEmbedding
from actors.nlp.text_ranking import TextRanking
from actors.nlp.text_similarity import TextSimilarity
from actors.stage import ModelFiles, Stage
from actors.worker import Worker
from tests.close import assert_close

pytestmark = pytest.mark.embedded

NEWS = """Acme Robotics Opens New Plant in Rotterdam

ROTTERDAM, 14 March 2024 - Acme Robotics said on Thursday that it will invest $240 million
in a new assembly plant near the port of Rotterdam, creating about 1,200 jobs. Chief
executive Maria Jansen told reporters that the company chose the Netherlands because of its
rail links to Germany and Poland.

The plant will build warehouse robots for customers such as DHL, Carrefour and IKEA. Mayor
Ahmed Aboutaleb welcomed the decision but asked the company to publish its energy plan.
"""
LETTER = "Maria Jansen lives at 12 Harbour Street, Bristol. Write to maria@jansen.example."

Prepared = Callable[[str], ModelFiles]


@pytest.fixture(scope="session")
def prepared(cache: Path) -> Prepared:
    return lambda name: ModelFiles(prepare(name, cache))


def answer(stage: Stage, files: ModelFiles, *texts: str) -> list[Any]:
    return Worker(stage, files).answer([{"text": text} for text in texts])


def test_spacy_finds_what_the_whole_pipeline_finds(prepared: Prepared) -> None:
    import spacy

    files = prepared("en-core-web-sm")
    texts = [NEWS.replace("\n", " "), LETTER]
    plain = [
        [(e.text, e.label_, e.start_char, e.end_char) for e in document.ents]
        for document in spacy.load(files.folder).pipe(texts)
    ]
    found = answer(Ner(line_breaks="keep"), files, *texts)
    fields = ("text", "label", "start", "end")
    assert [[tuple(e[f] for f in fields) for e in a["entities"]] for a in found] == plain


def test_names_are_found_over_line_breaks_in_real_news(prepared: Prepared) -> None:
    ((found,),) = [[a["entities"] for a in answer(Ner(), prepared("en-core-web-sm"), NEWS)]]
    names = {(e["text"], e["label"]) for e in found}
    assert {("Maria Jansen", "PERSON"), ("Germany", "GPE"), ("14 March 2024", "DATE")} <= names
    assert [NEWS[e["start"] : e["end"]] for e in found] == [e["text"] for e in found]


def test_personal_data_equals_the_pipelines(prepared: Prepared) -> None:
    files = prepared("rampart-pii")
    pipeline = hf.pipeline("token-classification", model=str(files.folder), device="cpu")
    expected = pipeline(LETTER, aggregation_strategy="first")
    (found,) = answer(Ner(), files, LETTER)
    spans = [(LETTER[e["start"] : e["end"]], e["score"]) for e in expected]
    assert len(spans) >= 3
    assert_close([(e["text"], e["score"]) for e in found["entities"]], spans, 1e-5)


def test_texts_of_like_meaning_lie_close(prepared: Prepared) -> None:
    texts = ["A man is eating food.", "Someone eats a meal.", "The sky is blue."]
    found = answer(TextEmbedding(), prepared("all-minilm-l6-v2"), *texts)
    cosines = np.stack([a["embedding"] for a in found]) @ found[0]["embedding"]
    assert_close(cosines.tolist(), [1.0, 0.76, 0.0], 0.05)


def test_the_document_that_answers_is_ranked_first_and_a_paraphrase_is_alike(
    prepared: Prepared,
) -> None:
    files = prepared("all-minilm-l6-v2")
    ranked = Worker(TextRanking(), files).answer([dict(TextRanking.sample)])
    alike = Worker(TextSimilarity(), files).answer([dict(TextSimilarity.sample)])
    assert [[one["index"] for one in answer["ranking"]] for answer in ranked] == [[1, 0]]
    assert_close([answer["similarity"] for answer in alike], [0.76], 0.05)


def test_a_summary_of_news_names_its_subject(prepared: Prepared) -> None:
    files = prepared("all-minilm-l6-v2")
    (found,) = answer(Summarization(max_sentences=1), files, NEWS)
    assert found["summary"].startswith("ROTTERDAM, 14 March 2024 - Acme Robotics said")
