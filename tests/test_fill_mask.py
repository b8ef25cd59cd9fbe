"""fill-mask equals transformers' pipeline, also where a text has several gaps."""

from collections.abc import Callable
from typing import Any

import pytest
import transformers as hf

from actors.nlp.fill_mask import FillMask
from actors.stage import ModelFiles
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import pairs

Build = Callable[..., ModelFiles]
TEXTS = [row["text"] for row in pairs.GAPS if "___" in row["text"]]


def fill(files: ModelFiles, *texts: str, **options: Any) -> list[Any]:
    return Worker(FillMask(**options), files).answer([{"text": text} for text in texts])


def plain(files: ModelFiles, text: str) -> list[Any]:
    """The pipeline's words of each gap; it leaves out a level of lists where there is one gap."""
    pipeline = hf.pipeline("fill-mask", model=str(files.folder), device="cpu", top_k=4)
    found = pipeline(text.replace("___", pipeline.tokenizer.mask_token))
    gaps = found if isinstance(found[0], list) else [found]
    return [[{"word": o["token_str"].strip(), "score": o["score"]} for o in gap] for gap in gaps]


@pytest.mark.parametrize("build", [pairs.bert_filler, pairs.roberta_filler])
def test_words_of_every_gap_equal_the_pipeline(build: Any, tiny: Build) -> None:
    files = tiny(build)
    assert max(text.count("___") for text in TEXTS) > 1
    answers = fill(files, *TEXTS, top_k=4)
    assert_close([a["gaps"] for a in answers], [plain(files, text) for text in TEXTS], 1e-5)
    first = [{"word": a["word"], "score": a["word_score"]} for a in answers]
    assert_close(first, [answer["gaps"][0][0] for answer in answers], 0)


def test_a_gap_may_be_marked_otherwise(tiny: Build) -> None:
    files = tiny(pairs.bert_filler)
    other = fill(files, TEXTS[0].replace("___", "[GAP]"), gap="[GAP]")
    assert_close(other, fill(files, TEXTS[0]), 0)


def test_a_text_cut_after_its_gap_says_so_and_one_cut_before_is_rejected(tiny: Build) -> None:
    files = tiny(pairs.bert_filler)
    early, late = "___ " + "good " * 100_000, "good " * 100_000 + "___"
    answered, rejected = fill(files, early, late)
    assert answered["word_truncated"] is True
    assert rejected.reason == "too_long"
    assert fill(files, early, too_long="reject")[0].reason == "too_long"


def test_strange_characters_around_a_gap_are_answered(tiny: Build) -> None:
    texts = ["\0___", "😀👩‍👩‍👧 ___ 🇫🇷", "שלום ___ עולם", "\u202e___"]
    answers = fill(tiny(pairs.roberta_filler), *texts)
    assert [len(answer["gaps"]) for answer in answers] == [1] * 4
