"""ner equals transformers' pipeline and plain spaCy, in windows and over broken lines as well."""

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers as hf

from actors.nlp.ner import Ner
from actors.stage import Device, ModelFiles, Row
from actors.text import unbroken
from actors.texts import spacy_text
from actors.texts.token_labels import Window, join
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import text

Build = Callable[..., ModelFiles]
ROWS: list[Row] = [
    {"text": line} for line in [*text.LINES, "שלום Åse 😀 Zoë, naïve-ish", "�", "x" * 40]
]
LONG = " ".join(line for line in text.LINES for _ in range(3))
BROKEN = (
    "Report by Maria\nJansen of Rotter-\ndam Robotics.\n \n"
    "Signed: Ahmed\r\nAboutaleb in Anglo-\nSaxon"
)


def find(files: ModelFiles, *texts: str, **options: Any) -> list[list[Row]]:
    answers: list[Any] = Worker(Ner(**options), files).answer([{"text": one} for one in texts])
    return [answer["entities"] for answer in answers]


def expected_entities(files: ModelFiles, line: str, aggregation: str) -> list[Row]:
    """What transformers' pipeline finds, with the text that stands at its offsets."""
    pipeline = hf.pipeline("token-classification", model=str(files.folder), device="cpu")
    found = pipeline(line, aggregation_strategy=aggregation)
    spans = [line[e["start"] : e["end"]] for e in found]
    starts = [e["start"] + len(s) - len(s.lstrip()) for e, s in zip(found, spans, strict=True)]
    return [
        {"text": s.strip(), "label": e["entity_group"], "score": float(e["score"])}
        | {"start": start, "end": start + len(s.strip())}
        for e, s, start in zip(found, spans, starts, strict=True)
        if s.strip()
    ]


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("build", [text.bert_ner, text.roberta_ner])
@pytest.mark.parametrize("aggregation", ["simple", "first", "average", "max"])
def test_entities_equal_the_pipeline(build: Any, aggregation: str, tiny: Build) -> None:
    files = tiny(build)
    lines = [row["text"] for row in ROWS]
    found = find(files, *lines, aggregation=aggregation)
    expected = [expected_entities(files, line, aggregation) for line in lines]
    assert sum(map(len, expected)) > 20
    assert_close(found, expected, 1e-5)


def test_windows_join_to_every_token_once_from_where_it_has_more_context() -> None:
    def window(first: int, last: int, mark: int) -> Window:
        tokens = np.arange(first, last)
        return Window(
            tokens, np.stack([tokens, tokens + 1], axis=1), np.full((len(tokens), 2), mark)
        )

    whole = join([window(0, 10, 0), window(6, 16, 1), window(12, 15, 2)], overlap=4)
    assert whole.tokens.tolist() == list(range(15))
    assert whole.logits[:, 0].tolist() == [0] * 8 + [1] * 6 + [2] * 1


def test_a_long_text_is_read_to_its_end_without_repeats(tiny: Build) -> None:
    files = tiny(text.bert_ner)
    (found,) = find(files, LONG, overlap=20)
    assert [e["text"] for e in found] == [LONG[e["start"] : e["end"]] for e in found]
    assert all(a["end"] <= b["start"] for a, b in itertools.pairwise(found))
    assert found[-1]["end"] > len(LONG) - 60


def test_windows_cover_every_token_of_a_text_of_any_length(tiny: Build) -> None:
    model = Ner(overlap=20).load(tiny(text.bert_ner), Device())
    for words in (61, 62, 63, 80, 104, 105, 300):
        ((*items,),) = model.prepare([{"text": "good " * words}])
        offsets = join(model.infer(items), overlap=20).offsets
        assert offsets[:, 0].tolist() == list(range(0, 5 * words, 5))


def test_an_empty_text_has_no_entities(tiny: Build) -> None:
    assert find(tiny(text.bert_ner), "", " \n\t ", "\0") == [[], [], []]


def test_labels_and_threshold_choose_among_the_entities(tiny: Build) -> None:
    files = tiny(text.bert_ner)
    (every,) = find(files, LONG)
    middle = sorted(e["score"] for e in every)[len(every) // 2]
    label = max(every, key=lambda e: e["score"])["label"]
    (chosen,) = find(files, LONG, labels=(label,), threshold=middle)
    assert chosen == [e for e in every if e["label"] == label and e["score"] >= middle]
    assert 0 < len(chosen) < len(every)


def test_broken_lines_are_joined_and_every_code_point_keeps_its_place() -> None:
    joined, origin = unbroken(BROKEN)
    assert joined.startswith("Report by Maria Jansen of Rotterdam Robotics.")
    assert joined.endswith("Ahmed  Aboutaleb in Anglo- Saxon")
    kept = [(a, BROKEN[b]) for a, b in zip(joined, origin, strict=False) if a != " "]
    assert kept == [(a, a) for a, _ in kept]
    assert origin[-1] == len(BROKEN)


@pytest.fixture(scope="session")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A spaCy pipeline that knows three names."""
    import spacy

    nlp = spacy.blank("en")
    patterns = {"Maria Jansen": "PERSON", "Rotterdam Robotics": "ORG", "Ahmed Aboutaleb": "PERSON"}
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": b, "pattern": a} for a, b in patterns.items()])  # type: ignore[attr-defined]
    folder: Path = tmp_path_factory.mktemp("ruled")
    nlp.to_disk(folder)
    return ModelFiles(folder)


def test_spacy_finds_names_over_broken_lines_where_they_stand_in_the_text_given(
    ruled: ModelFiles,
) -> None:
    (found,) = find(ruled, BROKEN.replace("\r\n", "\n"))
    assert [(e["text"], e["label"], e["score"]) for e in found] == [
        ("Maria\nJansen", "PERSON", None),
        ("Rotter-\ndam Robotics", "ORG", None),
        ("Ahmed\nAboutaleb", "PERSON", None),
    ]
    assert find(ruled, BROKEN, line_breaks="keep") == [[]]


def test_spacy_reads_a_megabyte_in_pieces_to_its_end(ruled: ModelFiles) -> None:
    line = "Maria Jansen " + "x" * 85 + ". "
    (found,) = find(ruled, line * 10_000)
    assert [e["start"] for e in found] == list(range(0, 1_000_000, 100))


def test_pieces_leave_out_white_space_only() -> None:
    page = "a b\n\n" + "word " * 9_000 + "\n \n" + "y" * 50_000
    found = spacy_text.pieces(page, split=True)
    assert "".join(piece for _, piece in found).split() != []
    assert "".join(page.split()) == "".join("".join(piece.split()) for _, piece in found)
    assert all(page[start:].startswith(piece) for start, piece in found)
    assert max(len(piece) for _, piece in found) <= spacy_text.LONGEST_PIECE


def test_a_spacy_pipeline_without_a_finder_of_entities_is_refused() -> None:
    meta = {"spacy_version": ">=3.8", "pipeline": ["tagger", "parser"]}
    assert Ner().check(meta) == (
        "ner needs a spaCy pipeline with the component 'ner'; this one has tagger, parser"
    )
    assert Ner().check({**meta, "pipeline": ["ner"]}) is None


def test_no_name_reaches_from_one_entry_of_a_form_into_the_next(ruled: ModelFiles) -> None:
    form = "Signed: Maria\nJansen and Ahmed\nCity: Aboutaleb\n- Maria\n- Jansen"
    (found,) = find(ruled, form)
    assert [e["text"] for e in found] == ["Maria\nJansen"]


PIECES = [
    "\0",
    "\r\n",
    "\n\n",
    "-\n",
    " ",
    "a",
    "e\u0301",
    "😀",
    "\u202e",
    "שלום",
    "中。",
    "[SEP]",
    "🇫🇷",
]


@pytest.mark.parametrize("build", [text.bert_ner, text.roberta_ner])
def test_entities_of_any_text_stand_apart_exactly_where_they_say(build: Any, tiny: Build) -> None:
    shuffle = random.Random(0)
    texts = ["".join(shuffle.choices(PIECES, k=n % 40)) for n in range(200)]
    for line, found in zip(texts, find(tiny(build), *texts, line_breaks="join"), strict=True):
        assert [line[e["start"] : e["end"]] for e in found] == [e["text"] for e in found]
        assert all(a["end"] <= b["start"] for a, b in itertools.pairwise(found))
        assert all(e["text"].strip() == e["text"] != "" for e in found)
