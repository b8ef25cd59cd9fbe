"""Pairs and windows are those that the tokenizers make, and padding them changes nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from actors.checkpoint import load_model
from actors.errors import RowRejected, StageFailed
from actors.stage import Device, ModelFiles
from actors.texts.encoder import Encoder
from actors.texts.pairs import Pairs
from tests.close import assert_close
from tests.tiny import pairs
from tests.tiny.text import LINES

Build = Callable[..., ModelFiles]
BUILDS = [pairs.bert_pairs, pairs.roberta_pairs, pairs.deberta_pairs, pairs.bart_pairs]
TOGETHER = list(zip(LINES, LINES[1:] + LINES[:1], strict=True))
CUTS: dict[Any, str] = {"first": "only_first", "second": "only_second", "longer": "longest_first"}
CUT: Any = {"truncation": True, "return_tensors": "pt"}
every_family = pytest.mark.parametrize("build", BUILDS)


def made(files: ModelFiles, **options: Any) -> Pairs:
    model = load_model(hf.AutoModelForSequenceClassification, files.folder, Device())
    length = options.pop("max_length", None)
    return Pairs(Encoder(model, files.folder, Device(), length), **options)


@every_family
def test_logits_of_a_padded_batch_equal_each_pair_s_the_plain_way(build: Any, tiny: Build) -> None:
    files = tiny(build)
    found = made(files)
    items = [found.pair(*found.ids(pair)).item() for pair in TOGETHER]
    tokenizer = hf.AutoTokenizer.from_pretrained(files.folder)
    model = hf.AutoModelForSequenceClassification.from_pretrained(files.folder)
    with torch.inference_mode():
        plain = [model(**tokenizer(*pair, **CUT)).logits[0] for pair in TOGETHER]
    assert found.encoder.batching.rule == "length"
    assert_close(found.encoder.logits(items), torch.stack(plain).numpy(), 1e-5)


@every_family
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("length", [17, 18, 24])
def test_a_pair_is_cut_as_the_tokenizer_cuts_it(
    build: Any, cut: Any, length: int, tiny: Build
) -> None:
    found = made(tiny(build), cut=cut, max_length=length)
    tokenizer, seen = found.encoder.tokenizer, 0
    for pair in [("good", LINES[0]), (LINES[0], "good"), ("good good", "a"), (LINES[3], LINES[4])]:
        ids = found.ids(pair)
        if cut != "longer" and len(ids[cut == "first"]) >= found.room:
            continue
        expected = tokenizer(*pair, truncation=CUTS[cut], max_length=length)
        mine = found.pair(*ids)
        assert mine.ids.tolist() == expected["input_ids"]
        assert mine.cut == (len(tokenizer(*pair)["input_ids"]) > length)
        if "token_type_ids" in expected:
            assert mine.types is not None and mine.types.tolist() == expected["token_type_ids"]
        seen += 1
    assert seen >= 2


@every_family
@pytest.mark.parametrize("overlap", [0, 5, 1000])
def test_windows_are_those_of_the_tokenizer(build: Any, overlap: int, tiny: Build) -> None:
    found = made(tiny(build))
    question, context = "good film ?", " ".join(LINES * 3)
    (first, second) = found.located([question, context])
    windows = found.windows(first.ids, second.ids, overlap)
    room = found.room - len(first.ids)
    expected = found.encoder.tokenizer(
        question,
        context,
        truncation="only_second",
        max_length=64,
        stride=min(overlap, room // 2),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    assert len(windows) > 3
    assert [window.ids.tolist() for window in windows] == expected["input_ids"]
    for window, offsets in zip(windows, expected["offset_mapping"], strict=True):
        at = window.note
        place = slice(at.place, at.place + at.last - at.first)
        assert [tuple(o) for o in second.offsets[at.first : at.last]] == offsets[place]


def test_a_text_without_tokens_has_no_windows(tiny: Build) -> None:
    found = made(tiny(pairs.bert_pairs))
    assert found.windows(*found.ids(["good ?", ""]), overlap=4) == []


def test_what_must_stay_whole_and_does_not_fit_is_rejected(tiny: Build) -> None:
    found = made(tiny(pairs.bert_pairs), cut="first")
    long, short = found.ids(["good " * 61, "good"])
    with pytest.raises(RowRejected, match="too_long: a text of 61 tokens must be read whole"):
        found.pair(short, long)
    with pytest.raises(RowRejected, match="too_long: the first text has 61 tokens"):
        found.windows(long, short, 4)


def test_a_length_without_room_for_two_texts_is_refused(tiny: Build) -> None:
    with pytest.raises(StageFailed, match="max_length 4 leaves no room beside 3 marks"):
        made(tiny(pairs.bert_pairs), max_length=4)


def test_types_are_given_to_models_whose_tokenizers_make_them(tiny: Build) -> None:
    for build, given in [(pairs.bert_pairs, True), (pairs.roberta_pairs, False)]:
        found = made(tiny(build))
        inputs = found.encoder.inputs([found.pair(*found.ids(["good", "bad film"])).item()])
        assert ("token_type_ids" in inputs) is given
        assert np.all(inputs["attention_mask"].numpy() == 1)
