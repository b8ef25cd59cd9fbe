"""sentence-parsing equals plain spaCy, and transformers' pipeline for parts of speech."""

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers as hf

from actors.models.embedded import prepare
from actors.nlp.sentence_parsing import SentenceParsing
from actors.stage import ModelFiles, Row
from actors.worker import Worker
from tests.tiny import parsing
from tests.tiny.text import LINES, bert_ner

Build = Callable[..., ModelFiles]
STRANGE = [
    "\0",
    "a\0b",
    "😀👩‍👩‍👧 🇫🇷 flags.",
    "שלום עולם. שלום.",
    "\u202eabc",
    "\ufeff",
    "x" * 3000,
]
BROKEN = "The quick fox jumped over Rotter-\ndam's  fences. It fell!\n\nTotal due: 5 EUR\nDate: now"


def parse(files: ModelFiles, *texts: str, **options: Any) -> list[Any]:
    return Worker(SentenceParsing(**options), files).answer([{"text": text} for text in texts])


def check_places(text: str, answer: Row) -> None:
    """Every token is what stands there, in order, in its sentence, on a head of that sentence."""
    tokens = answer["tokens"]
    assert [token["text"] for token in tokens] == [text[t["start"] : t["end"]] for t in tokens]
    assert all(a["end"] <= b["start"] for a, b in itertools.pairwise(tokens))
    assert [t["sentence"] for t in tokens] == sorted(t["sentence"] for t in tokens)
    for number, token in enumerate(tokens):
        assert token["head"] != number
        if token["head"] not in (None, -1):
            assert tokens[token["head"]]["sentence"] == token["sentence"]


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("build", [parsing.bert_tagger, parsing.roberta_tagger])
def test_parts_of_speech_equal_the_pipeline(build: Any, tiny: Build) -> None:
    files = tiny(build)
    pipeline = hf.pipeline("token-classification", model=str(files.folder), device="cpu")
    answers = [a["tokens"] for a in parse(files, *LINES)]
    found = [[(t["start"], t["pos"] or t["tag"]) for t in tokens] for tokens in answers]
    for line, words in zip(LINES, found, strict=True):
        # Without aggregation the pipeline labels tokens; a word has the label of its first one.
        first: dict[int, str] = {}
        for token in pipeline(line):
            if not line[token["start"] : token["end"]].strip():
                continue
            first.setdefault(token["start"] + (line[token["start"]] == " "), token["entity"])
        assert words == [(start, first[start]) for start, _ in words]
        assert {start for start, _ in words} >= {m.start() for m in re.finditer(r"\S+", line)}
    assert len({label for tokens in found for _, label in tokens}) > 3


def test_a_tagger_says_no_more_than_it_knows(tiny: Build) -> None:
    (answer,) = parse(tiny(parsing.bert_tagger), "The film was good. It was Mr. Bean's.")
    check_places("The film was good. It was Mr. Bean's.", answer)
    assert answer["sentences"] == [{"start": 0, "end": 18}, {"start": 19, "end": 37}]
    assert {(t["lemma"], t["head"], t["relation"]) for t in answer["tokens"]} == {(None,) * 3}
    assert all((t["pos"] is None) == (t["tag"] == "HYPH") for t in answer["tokens"])


def test_a_spacy_pipeline_of_sentences_alone_leaves_the_rest_null(tiny: Build) -> None:
    (answer,) = parse(tiny(parsing.sentencizer), BROKEN)
    check_places(BROKEN, answer)
    texts = [BROKEN[s["start"] : s["end"]] for s in answer["sentences"]]
    assert texts == [
        *("The quick fox jumped over Rotter-\ndam's  fences.", "It fell!"),
        *("Total due: 5 EUR", "Date: now"),
    ]
    unsaid = {(t["pos"], t["tag"], t["head"], t["relation"]) for t in answer["tokens"]}
    assert unsaid == {(None,) * 4}


def test_broken_lines_are_joined_or_kept(tiny: Build) -> None:
    files = tiny(parsing.sentencizer)
    joined, kept = (parse(files, BROKEN, line_breaks=b)[0]["tokens"] for b in ("join", "keep"))
    assert "Rotter-\ndam" in {token["text"] for token in joined}
    assert {"Rotter-", "dam"} <= {token["text"] for token in kept}


@pytest.mark.parametrize("build", [parsing.bert_tagger, parsing.sentencizer])
def test_strange_texts_are_parsed_and_empty_ones_have_nothing(build: Any, tiny: Build) -> None:
    answers = parse(tiny(build), *STRANGE, "", " \n\t ")
    for text, answer in zip(STRANGE, answers, strict=False):
        check_places(text, answer)
    assert answers[-2:] == [{"sentences": [], "tokens": []}] * 2


def test_a_megabyte_is_parsed_to_its_end(tiny: Build) -> None:
    (answer,) = parse(tiny(parsing.sentencizer), ("word " * 49 + "end. ") * 4000)
    assert (len(answer["sentences"]), len(answer["tokens"])) == (4000, 4000 * 51)
    assert answer["tokens"][-1]["end"] == 250 * 4000 - 1


def test_models_of_names_and_pipelines_without_sentences_are_refused(tiny: Build) -> None:
    config = json.loads((tiny(bert_ner).folder / "config.json").read_text())
    assert "task ner uses it" in str(SentenceParsing().check(config))
    pipeline = {"spacy_version": ">=3.8", "pipeline": ["tok2vec", "ner"]}
    assert "one of parser" in str(SentenceParsing().check(pipeline))
    assert SentenceParsing().check({**pipeline, "pipeline": ["parser"]}) is None


@pytest.mark.embedded
def test_embedded_spacy_says_what_the_whole_pipeline_says(cache: Path) -> None:
    import spacy

    files = ModelFiles(prepare("en-core-web-sm", cache))
    texts = [
        "The quick fox jumped over the fence. She didn't see it, did she?",
        LINES[3],
        "Yes 😀.",
    ]
    nlp = spacy.load(files.folder)
    for text, answer in zip(texts, parse(files, *texts), strict=True):
        check_places(text, answer)
        document = nlp(text)
        assert [(s["start"], s["end"]) for s in answer["sentences"]] == [
            (s.start_char, s.end_char) for s in document.sents
        ]
        assert [
            (t["start"], t["pos"], t["tag"], t["lemma"], t["head"], t["relation"])
            for t in answer["tokens"]
        ] == [
            (t.idx, t.pos_, t.tag_, t.lemma_, -1 if t.head.i == t.i else t.head.i, t.dep_)
            for t in document
        ]


@pytest.mark.embedded
def test_heads_and_sentences_count_through_paragraphs_and_white_space(cache: Path) -> None:
    (answer,) = parse(ModelFiles(prepare("en-core-web-sm", cache)), BROKEN)
    check_places(BROKEN, answer)
    found = {t["text"]: t for t in answer["tokens"]}
    tokens = answer["tokens"]
    assert found["Rotter-\ndam"]["lemma"] == "Rotterdam"
    assert tokens[found["fox"]["head"]]["text"] == "jumped"
    assert tokens[found["Total"]["head"]]["sentence"] == 2 or found["Total"]["head"] == -1
    assert tokens[found["5"]["head"]]["text"] == "EUR"
