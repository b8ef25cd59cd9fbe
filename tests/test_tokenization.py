"""tokenization equals the tokenizer itself, with nothing but its files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers as hf

from actors.errors import RowRejected, StageFailed, UsageError
from actors.models.embedded import prepare
from actors.models.reference import fetch, resolve
from actors.nlp.tokenization import Tokenization
from actors.stage import ModelFiles, Row
from actors.worker import Worker
from tests.tiny import parsing
from tests.tiny.text import LINES, bert_encoder

Build = Callable[..., ModelFiles]
STRANGE = [
    *LINES,
    "",
    " \n\t ",
    "a\0b",
    "naïve Zoë 😀👩‍👩‍👧 🇫🇷",
    "שלום עולם",
    "\u202eabc",
    "[SEP] [CLS]",
]
FAST = [parsing.bert_words, parsing.byte_words, parsing.unigram_words]


def tokenize(files: ModelFiles, *texts: str, **options: Any) -> list[Any]:
    return Worker(Tokenization(**options), files).answer([{"text": text} for text in texts])


def plain(files: ModelFiles, text: str, **options: Any) -> Row:
    """What the tokenizer says, called the plain way."""
    tokenizer = hf.AutoTokenizer.from_pretrained(files.folder)
    asked = {"return_special_tokens_mask": True, **options}
    found = tokenizer(text, return_offsets_mapping=tokenizer.is_fast, **asked)
    places = zip(found.get("offset_mapping", ()), found["special_tokens_mask"], strict=False)
    spans = [None if special else {"start": a, "end": b} for (a, b), special in places]
    return {
        "ids": found["input_ids"],
        "tokens": tokenizer.convert_ids_to_tokens(found["input_ids"]),
        "offsets": spans if tokenizer.is_fast else None,
        "n_tokens": len(found["input_ids"]),
        "tokens_truncated": False,
    }


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("build", [*FAST, parsing.python_words])
def test_tokens_equal_the_tokenizers_own(build: Any, special: bool, tiny: Build) -> None:
    files = tiny(build)
    expected = [plain(files, text, add_special_tokens=special) for text in STRANGE]
    assert tokenize(files, *STRANGE, add_special_tokens=special) == expected


def test_offsets_are_code_points_of_the_text(tiny: Build) -> None:
    text = "😀 Zoë was good"
    (answer,) = tokenize(tiny(parsing.bert_words), text)
    spans = [text[o["start"] : o["end"]] for o in answer["offsets"] if o is not None]
    assert spans[-2:] == ["was", "good"]
    assert answer["offsets"][0] is answer["offsets"][-1] is None


@pytest.mark.parametrize("build", [*FAST, parsing.python_words])
def test_a_long_text_is_read_whole_or_cut_as_told_or_rejected(build: Any, tiny: Build) -> None:
    files, text = tiny(build), "good " * 300
    (whole,) = tokenize(files, text)
    assert (whole["n_tokens"] >= 300, whole["tokens_truncated"]) == (True, False)
    (short,) = tokenize(files, text, max_length=10)
    kept = plain(files, text, truncation=True, max_length=10)
    assert short == {**kept, "tokens_truncated": True}
    assert tokenize(files, text, max_length=whole["n_tokens"]) == [whole]
    (rejected,) = tokenize(files, text, max_length=whole["n_tokens"] - 1, too_long="reject")
    assert isinstance(rejected, RowRejected) and rejected.reason == "too_long"


def test_a_megabyte_is_tokenized(tiny: Build) -> None:
    (answer,) = tokenize(tiny(parsing.bert_words), "good film " * 100_000)
    assert (answer["n_tokens"], answer["offsets"][-2]["end"]) == (200_002, 999_999)


def test_a_folder_with_a_tokenizer_alone_is_a_model_where_weights_are_not_needed(
    tiny: Build, tmp_path: Path
) -> None:
    folder = tiny(parsing.bert_words).folder
    ref = resolve(str(folder), None, tmp_path, weights=False)
    assert fetch(ref, tmp_path) == folder
    with pytest.raises(UsageError, match="holds no model"):
        resolve(str(folder), None, tmp_path)
    with pytest.raises(UsageError, match="holds no tokenizer"):
        resolve(str(tmp_path), None, tmp_path, weights=False)


def test_a_tokenizer_that_does_not_open_stops_the_stage(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(StageFailed, match="no tokenizer that opens"):
        tokenize(ModelFiles(tmp_path), "a")


def test_a_model_beside_its_tokenizer_does_no_harm(tiny: Build) -> None:
    assert tokenize(tiny(bert_encoder), *LINES) == tokenize(tiny(parsing.bert_words), *LINES)


def test_models_without_a_vocabulary_are_refused() -> None:
    assert Tokenization().check({"model_type": "bert", "vocab_size": 7}) is None
    assert Tokenization().check({"model_type": "clip", "text_config": {}}) is None
    vision = {"model_type": "vit", "architectures": ["ViTModel"]}
    assert "ViTModel (vit)" in str(Tokenization().check(vision))


@pytest.mark.embedded
def test_the_embedded_tokenizer_is_berts(cache: Path) -> None:
    (answer,) = tokenize(ModelFiles(prepare("all-minilm-l6-v2", cache)), "Unbelievable news")
    assert answer["tokens"] == ["[CLS]", "unbelievable", "news", "[SEP]"]
    assert answer["ids"] == [101, 23653, 2739, 102]
