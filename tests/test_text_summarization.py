"""summarization: written ones equal plain generate; chosen ones are sentences of the text."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from actors.errors import RowRejected
from actors.nlp.summarization import Summarization
from actors.stage import ModelFiles, Row
from actors.texts.sentences import choose, run_on, sentence_spans, within_words
from actors.worker import Worker
from tests.tiny import text

Build = Callable[..., ModelFiles]
ROWS: list[Row] = [{"text": line} for line in text.LINES]
NEWS = """Glacier Survey Finds Faster Melting

Scientists from Zurich measured 1,400 glaciers between 2019
and 2023. Their report, by Dr. D. Farinotti, was published on
Monday. "The ice is thinning!" it says. Dust from the Sahara
darkened the snow.

Small glaciers are likely to vanish before 2040."""
INVOICE = """INVOICE No. 2024-0173

Bill to: Northwind Traders Ltd, Bristol
From: Lumen Optics GmbH,
Berlin

- Laser module, 12 pieces, 2,268.00 EUR
- Mounting kit, 12 pieces, 294.00 EUR
Total due: 2,562.00 EUR"""


def summarize(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(Summarization(**options), files).answer(rows)


@pytest.mark.parametrize(("build", "prefix"), [(text.bart, ""), (text.t5, "summarize: ")])
@pytest.mark.parametrize("beams", [1, 3])
def test_written_summaries_equal_plain_generate(
    build: Any, prefix: str, beams: int, tiny: Build
) -> None:
    files = tiny(build)
    tokenizer = hf.AutoTokenizer.from_pretrained(files.folder)
    model = hf.AutoModelForSeq2SeqLM.from_pretrained(files.folder).eval()
    found = summarize(files, ROWS, max_new_tokens=12, num_beams=beams)
    for row, answer in zip(ROWS, found, strict=True):
        inputs = tokenizer(prefix + row["text"], return_tensors="pt", truncation=True)
        with torch.no_grad():
            ids = model.generate(**inputs, max_new_tokens=12, num_beams=beams, do_sample=False)[0]
        written = tokenizer.decode(ids, skip_special_tokens=True).strip()
        assert (answer["summary"], answer["n_new_tokens"]) == (written, len(ids) - 1)
        assert (answer["sentences"], answer["summary_truncated"]) == (None, False)


def test_a_writer_stops_at_its_own_length_where_nobody_sets_one(tiny: Build) -> None:
    assert [a["n_new_tokens"] <= 142 for a in summarize(tiny(text.t5), ROWS[:2])] == [True] * 2


def test_a_long_text_is_cut_and_says_so_or_is_rejected(tiny: Build) -> None:
    files, rows = tiny(text.bart), [{"text": "good " * 10}, {"text": "good " * 500}]
    cut = [a["summary_truncated"] for a in summarize(files, rows, max_new_tokens=4)]
    assert cut == [False, True]
    kept, rejected = summarize(files, rows, max_new_tokens=4, too_long="reject")
    assert kept["summary_truncated"] is False
    assert isinstance(rejected, RowRejected) and rejected.reason == "too_long"


@pytest.mark.parametrize("build", [text.bart, text.bert_encoder])
def test_an_empty_text_has_an_empty_summary(build: Any, tiny: Build) -> None:
    answers = summarize(tiny(build), [{"text": ""}, {"text": " \n "}])
    assert [answer["summary"] for answer in answers] == ["", ""]


def test_chosen_sentences_stand_where_the_answer_says_in_their_order(tiny: Build) -> None:
    (answer,) = summarize(tiny(text.bert_encoder), [{"text": NEWS}], max_sentences=2)
    places = [(place["start"], place["end"]) for place in answer["sentences"]]
    assert len(places) == 2 and places == sorted(places)
    assert set(places) <= set(sentence_spans(NEWS))
    assert answer["summary"] == " ".join(NEWS[a:b].replace("\n", " ") for a, b in places)


def test_a_summary_has_at_most_the_words_asked_for(tiny: Build) -> None:
    rows: list[Row] = [{"text": NEWS}, {"text": INVOICE}, *ROWS]
    for most in (1, 7, 20):
        found = summarize(tiny(text.bert_encoder), rows, max_words=most)
        assert all(0 < len(answer["summary"].split()) <= most for answer in found)


def test_sentences_of_news_are_whole_and_headings_are_none() -> None:
    assert [NEWS[a:b].replace("\n", " ") for a, b in sentence_spans(NEWS)] == [
        "Scientists from Zurich measured 1,400 glaciers between 2019 and 2023.",
        "Their report, by Dr. D. Farinotti, was published on Monday.",
        '"The ice is thinning!" it says.',
        "Dust from the Sahara darkened the snow.",
        "Small glaciers are likely to vanish before 2040.",
    ]


def test_an_invoice_is_taken_entry_by_entry() -> None:
    assert [INVOICE[a:b].replace("\n", " ") for a, b in sentence_spans(INVOICE)] == [
        "INVOICE No. 2024-0173",
        "Bill to: Northwind Traders Ltd, Bristol",
        "From: Lumen Optics GmbH, Berlin",
        "- Laser module, 12 pieces, 2,268.00 EUR",
        "- Mounting kit, 12 pieces, 294.00 EUR",
        "Total due: 2,562.00 EUR",
    ]


def test_what_is_chosen_is_central_and_not_said_twice() -> None:
    directions = np.array([[1, 0.2], [1, 0.2], [0.8, 0.9], [-0.2, 1]], dtype=np.float32)
    vectors = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    assert choose(vectors, [5, 5, 5, 5], most=1, most_words=None) == [2]
    assert choose(vectors, [5, 5, 5, 5], most=2, most_words=None) != [0, 1]
    assert choose(vectors, [5, 5, 50, 5], most=3, most_words=10) == [0, 3]


def test_entries_are_joined_with_semicolons_and_sentences_with_spaces() -> None:
    assert run_on(["One is here.", "Total: 3 EUR", "Two"]) == "One is here. Total: 3 EUR; Two"
    assert run_on([]) == ""


def test_words_beyond_the_bound_go_by_whole_sentences_where_possible() -> None:
    said = "The ice melts. The sea rises fast."
    assert within_words(said, 7) == said
    assert within_words(said, 5) == "The ice melts."
    assert within_words(said, 2) == "The ice…"


def test_a_model_that_cannot_summarize_is_refused() -> None:
    config = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 9}
    assert Summarization().check(config) == (
        "summarization needs a text encoder, or a sequence-to-sequence model"
        " (...ForConditionalGeneration), but the model's config.json names GPT2LMHeadModel (gpt2)"
    )
    for good in ("BertModel", "MPNetForMaskedLM"):
        assert Summarization().check({"architectures": [good], "vocab_size": 9}) is None
