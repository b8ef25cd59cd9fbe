"""translation equals plain generate for each family; no part of a text is lost."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers as hf

from actors.errors import RowRejected, StageFailed, UsageError
from actors.nlp.translation import Translation, joined
from actors.stage import Device, ModelFiles, Row
from actors.worker import Worker
from actors.writing.generation import Written
from actors.writing.language_codes import UnknownLanguage, find_code, is_spaced
from actors.writing.translator import Route, Translator
from pipelines.file import parse
from pipelines.plan import make_plan
from tests.tiny import text, translating

Build = Callable[..., ModelFiles]
ROWS: list[Row] = [{"text": line} for line in text.LINES]
EN_DE = {"source": "en", "target": "de"}
MANY = {"targets": ("deu", "fra")}
FAMILIES: dict[str, tuple[Any, dict[str, Any], tuple[str, str | None, str | None]]] = {
    "marian": (translating.marian, {}, ("", None, None)),
    "marian many": (translating.marian, MANY, (">>deu<< ", None, None)),
    "m2m100": (translating.m2m100, {}, ("", "en", "__de__")),
    "nllb": (translating.nllb, {}, ("", "eng_Latn", "deu_Latn")),
    "mbart50": (translating.mbart50, {}, ("", "en_XX", "de_DE")),
    "t5": (text.t5, {}, ("translate English to German: ", None, None)),
    "madlad": (translating.madlad, {}, ("<2de> ", None, None)),
}
STORY = """The ship sails at noon. Bring your own lunch!

- two lamps
- 船は正午に出ます。お弁当を持ってきてください。
Price: 12 EUR"""


def translate(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    options = {**EN_DE, "max_new_tokens": 10, **options}
    return Worker(Translation(**options), files).answer(rows)


def plain(files: ModelFiles, line: str, how: Any, **settings: Any) -> tuple[str, int]:
    """What the model's card says to call, for one sentence."""
    prefix, source, first = how
    tokenizer = hf.AutoTokenizer.from_pretrained(files.folder)
    model = hf.AutoModelForSeq2SeqLM.from_pretrained(files.folder).eval()
    if source:
        tokenizer.src_lang = source
        settings["forced_bos_token_id"] = tokenizer.convert_tokens_to_ids(first)
    inputs = tokenizer(prefix + line, return_tensors="pt")
    with torch.no_grad():
        ids = model.generate(**inputs, max_new_tokens=10, do_sample=False, **settings)[0, 1:]
    # Files as published call M2M100's languages special tokens; ours do not.
    named = set(getattr(tokenizer, "lang_code_to_id", {}).values())
    words = [token for token in ids.tolist() if token not in named]
    return tokenizer.decode(words, skip_special_tokens=True).strip(), len(ids)


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("beams", [1, 3])
def test_sentences_equal_plain_generate(family: str, beams: int, tiny: Build) -> None:
    build, settings, how = FAMILIES[family]
    files = tiny(build, **settings)
    rows = [row for row in ROWS if " . " not in row["text"]]
    found = translate(files, rows, num_beams=beams)
    assert [(a["translation"], a["n_new_tokens"]) for a in found] == [
        plain(files, row["text"], how, num_beams=beams) for row in rows
    ]


def test_rows_of_many_languages_share_a_batch_exactly(tiny: Build) -> None:
    worker = Worker(Translation(**EN_DE, max_new_tokens=10, num_beams=2), tiny(translating.m2m100))
    codes = ["fr", "de", "spa", "zh", "en", "ru_RU", "ja", "arb"]
    rows: list[Row] = [
        {"text": line, "target_language": code, "source_language": "nl" if n % 2 else None}
        for n, (line, code) in enumerate(zip(text.LINES, codes, strict=True))
    ]
    alone = [worker.answer([row])[0] for row in rows]
    assert worker.answer(rows) == alone
    assert worker.take_report().batches < 2 * len(rows)


@pytest.mark.parametrize("family", ["m2m100", "nllb", "mbart50", "t5", "madlad"])
def test_a_text_in_the_target_language_stays_as_it_is(family: str, tiny: Build) -> None:
    build, settings, _ = FAMILIES[family]
    rows: list[Row] = [
        {"text": f" {STORY}\n", "source_language": "deu"},
        {"text": "good", "source_language": "en"},
    ]
    stays, written = translate(tiny(build, **settings), rows)
    assert stays == {
        "translation": rows[0]["text"], "n_new_tokens": 0, "translation_truncated": False,
    }  # fmt: skip
    assert written["n_new_tokens"] > 0


def test_two_scripts_of_one_language_are_two(tiny: Build) -> None:
    translator = Translator(tiny(translating.nllb).folder, Device())
    assert translator.route("zho_Hans", "zh-Hans").stays
    assert not translator.route("zho_Hans", "zho_Hant").stays


def test_a_text_is_joined_again_as_it_stood(tiny: Build) -> None:
    (answer,) = translate(tiny(translating.mbart50), [{"text": STORY}])
    parts = ["The ship sails at noon.", "Bring your own lunch!", "- two lamps"]
    parts += ["- 船は正午に出ます。", "お弁当を持ってきてください。", "Price: 12 EUR"]
    each = [
        a["translation"] for a in translate(tiny(translating.mbart50), [{"text": p} for p in parts])
    ]
    between = ["", " ", "\n\n", "\n", " ", "\n"]
    expected = "".join(gap + one for gap, one in zip(between, each, strict=True))
    assert answer["translation"] == expected


def test_languages_without_spaces_are_joined_without() -> None:
    outputs = [((0, 2), Written("甲。", 1, True)), ((2, 4), Written("乙。", 1, True))]
    assert joined("一。二。", outputs, "") == "甲。乙。"
    assert [is_spaced(code) for code in ("zho_Hans", "ja_XX", "de", "cmn")] == [
        False, False, True, False,
    ]  # fmt: skip


def test_no_word_of_a_long_sentence_is_left_out(tiny: Build) -> None:
    translator = Translator(tiny(translating.marian).folder, Device())
    words = " ".join(f"word{n}" for n in range(300))
    for alone in (True, False):
        for line in (words, words.replace(" ", ""), f"{words}.\n\n{STORY}"):
            parts = translator.parts(line, Route("", *translator.marks), alone)
            assert max(len(part.ids) for part in parts) <= translator.length == 64
            covered = np.zeros(len(line), dtype=int)
            for part in parts:
                covered[slice(*part.span)] += 1
            assert covered.max() == 1
            assert not "".join(c for c, n in zip(line, covered, strict=True) if not n).strip()


def test_paragraphs_are_cut_into_as_few_parts_as_fit(tiny: Build) -> None:
    translator = Translator(tiny(translating.mbart50).folder, Device())
    route = translator.route("en", "de")
    several = "Good film. Good film. Good film."
    assert [p.span for p in translator.parts(several, route, alone=False)] == [(0, len(several))]
    assert len(translator.parts(several, route, alone=True)) == 3


def test_a_translation_that_comes_to_the_limit_says_so(tiny: Build) -> None:
    for build in (translating.marian, text.t5):
        cut = translate(tiny(build), ROWS, max_new_tokens=2)
        assert any(answer["translation_truncated"] for answer in cut)
    empty, blank = translate(tiny(text.t5), [{"text": ""}, {"text": " \n"}])
    assert empty == blank == {"translation": "", "n_new_tokens": 0, "translation_truncated": False}


@pytest.mark.parametrize(
    ("asked", "codes", "found"),
    [
        ("de", ["eng_Latn", "deu_Latn"], "deu_Latn"),
        ("DE-at", ["en_XX", "de_DE"], "de_DE"),
        ("ger", ["en", "de"], "de"),
        ("ar", ["arb_Arab", "ary_Arab"], "arb_Arab"),
        ("zh-Hant", ["zho_Hans", "zho_Hant"], "zho_Hant"),
        ("deu_Latn", ["en", "de"], "de"),
        ("pt_BR", ["por", "spa"], "por"),
        ("deu_Lat", ["deu_Latn", "eng_Latn"], "deu_Latn"),
    ],
)
def test_a_language_is_found_under_other_codes(asked: str, codes: list[str], found: str) -> None:
    assert find_code(asked, codes) == found


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("zh", "'zh' may be any of zho_Hans, zho_Hant; write one"),
        ("klingon", "no language 'klingon'; there are deu_Latn, zho_Hans, zho_Hant"),
        ("fre_Latn", "no language 'fre_Latn' (did you mean 'deu_Latn'?)"),
    ],
)
def test_a_language_that_is_not_there_is_told_with_those_that_are(asked: str, told: str) -> None:
    codes = ["deu_Latn", "zho_Hans", "zho_Hant"]
    with pytest.raises(UnknownLanguage, match=re.escape(told)):
        find_code(asked, codes)


@pytest.mark.parametrize(
    ("build", "settings", "options", "told"),
    [
        (translating.m2m100, {}, {"target": "klingon"}, "no language 'klingon'"),
        (translating.m2m100, {}, {"source": "xx"}, "no language 'xx'"),
        (translating.marian, {}, {"target": "fr"}, "translates into 'de', not 'fr'"),
        (translating.marian, {}, {"source": "fr"}, "translates from 'en', not 'fr'"),
        (translating.marian, MANY, {"target": "es"}, "no language 'es'; there are deu, fra"),
        (text.bart, {}, {}, "names no languages"),
        (translating.marian, {}, {"max_new_tokens": 64}, "the model writes 63 at most"),
    ],
)
def test_what_a_model_cannot_do_is_refused_when_it_loads(
    build: Any, settings: Any, options: Any, told: str, tiny: Build
) -> None:
    with pytest.raises(StageFailed, match=told):
        Translation(**{**EN_DE, **options}).load(tiny(build, **settings), Device())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"source": "en"}, "which language to write?"),
        ({"target": "de"}, "the model must be told the source"),
    ],
)
def test_a_plan_without_languages_is_refused(
    options: Any, told: str, tiny: Build, tmp_path: Path
) -> None:
    model = str(tiny(translating.m2m100).folder)
    stage = {"task": "translation", "model": model, "options": options}
    source, sink = {"kind": "jsonl", "path": "x"}, {"kind": "parquet", "path": "out"}
    file = {"name": "a", "source": source, "stages": [stage], "sink": sink}
    flowing = pa.schema([("text", pa.string())])
    with pytest.raises(UsageError, match=re.escape(told)):
        make_plan(parse(file, "a.yaml"), "a.yaml", tmp_path, tmp_path, flowing)


def test_rows_whose_languages_are_wrong_are_rejected(tiny: Build) -> None:
    rows: list[Row] = [
        {"text": "good", "target_language": "klingon"},
        {"text": "good", "source_language": 7},
        {"text": "good", "source_language": "en\ud800"},
        {"text": "Good film. " * 30},
    ]
    found = translate(tiny(translating.m2m100), rows, max_parts=29)
    reasons = [answer.reason for answer in found if isinstance(answer, RowRejected)]
    assert reasons == ["unknown_language", "wrong_type", "invalid_text", "too_long"]


def test_strange_characters_are_answered(tiny: Build) -> None:
    strange = ["\0", "a\0b", "😀👩‍👩‍👧 🇫🇷", "שלום עולם", "\u202eabc", "\ufeff", ">>fra<< a", "</s>"]
    for build in (translating.m2m100, translating.marian, translating.nllb):
        answers = translate(tiny(build), [{"text": one} for one in strange])
        assert [type(answer) for answer in answers] == [dict] * len(strange)


def test_a_megabyte_of_text_is_rejected_in_good_time(tiny: Build) -> None:
    (answer,) = translate(tiny(translating.m2m100), [{"text": "Good film. " * 90_000}])
    assert answer.reason == "too_long"


def test_models_that_cannot_translate_are_refused() -> None:
    whisper = {"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper"}
    assert "whisper" in str(Translation().check(whisper))
    marian = {"architectures": ["MarianMTModel"], "model_type": "marian"}
    assert Translation().check(marian) is None
