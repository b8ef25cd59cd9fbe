"""text-generation equals plain generate and the pipeline; sampling and padding change no row."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers as hf
from pydantic import ValidationError

from actors.errors import RowRejected, StageFailed, UsageError
from actors.nlp.text_generation import TextGeneration
from actors.stage import Device, ModelFiles, Row
from actors.worker import Worker
from actors.writing.generation import DECODERS, dice
from pipelines.file import parse
from pipelines.plan import make_plan
from tests.tiny import text, writing

Build = Callable[..., ModelFiles]
ROWS: list[Row] = [{"prompt": line} for line in text.LINES]
STRANGE = ["\0", "a\0b", "😀👩‍👩‍👧 🇫🇷", "שלום עולם", "\u202eabc", "\ufeff", "</s><pad>", "{prompt}"]


def write(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(TextGeneration(**{"max_new_tokens": 12, **options}), files).answer(rows)


def loaded(files: ModelFiles, auto: Any = hf.AutoModelForCausalLM) -> tuple[Any, Any]:
    tokenizer = hf.AutoTokenizer.from_pretrained(files.folder)
    return tokenizer, auto.from_pretrained(files.folder).eval()


def plain(files: ModelFiles, prompt: str, special: bool = True, **settings: Any) -> Any:
    """What transformers' own generate adds to one prompt: text, count, whether an end mark came."""
    tokenizer, model = loaded(files)
    inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=special)
    with torch.no_grad():
        ids = model.generate(**inputs, **{"max_new_tokens": 12, "do_sample": False, **settings})
    new = ids[0, inputs["input_ids"].shape[1] :]
    return tokenizer.decode(new, skip_special_tokens=True), len(new), 2 in new.tolist()


def said(answer: Any) -> Any:
    return answer["generated_text"], answer["n_new_tokens"], answer["finish_reason"] == "stop"


@pytest.mark.parametrize("family", sorted(writing.DECODERS))
def test_padded_decoders_write_what_generate_writes_alone(family: str, tiny: Build) -> None:
    files = tiny(writing.decoder, family=family)
    worker = Worker(TextGeneration(max_new_tokens=12), files)
    assert worker._model.batching.rule == "length"
    found: list[Any] = worker.answer(ROWS)
    assert [said(answer) for answer in found] == [plain(files, row["prompt"]) for row in ROWS]


def test_every_family_that_is_padded_was_compared() -> None:
    assert writing.DECODERS.keys() == DECODERS


def test_left_padding_leaves_the_scores_of_the_next_token_as_they_are(tiny: Build) -> None:
    for family in writing.DECODERS:
        _, model = loaded(tiny(writing.decoder, family=family))
        short, long = torch.arange(5, 15)[None], torch.arange(5, 45)[None]
        both = torch.cat([torch.nn.functional.pad(short, (30, 0), value=1), long])
        mask = torch.ones_like(both)
        mask[0, :30] = 0
        settings: dict[str, Any] = {"max_new_tokens": 4, "do_sample": False}
        settings |= {"return_dict_in_generate": True, "output_logits": True}
        alone = model.generate(short, **settings)
        beside = model.generate(both, attention_mask=mask, **settings)
        for one, two in zip(alone.logits, beside.logits, strict=True):
            assert (one[0] - two[0]).abs().max() < 1e-5, family


def test_a_model_without_a_padding_token_is_padded_all_the_same(tiny: Build) -> None:
    files = tiny(writing.gpt2)
    for settings in ({}, {"num_beams": 3}, {"repetition_penalty": 1.5}):
        found = write(files, ROWS, **settings)
        expected = [plain(files, row["prompt"], pad_token_id=2, **settings) for row in ROWS]
        assert [said(answer) for answer in found] == expected


def test_chats_equal_the_pipeline(tiny: Build) -> None:
    files = tiny(writing.llama_chat)
    pipeline = hf.pipeline("text-generation", model=str(files.folder), device="cpu")
    chats = [writing.asked(*text.LINES[a:b]) for a, b in ((0, 1), (2, 3), (0, 3))]
    expected = pipeline(chats, max_new_tokens=12, do_sample=False)
    found = write(files, [{"messages": chat} for chat in chats])
    assert [a["generated_text"] for a in found] == [
        one[0]["generated_text"][-1]["content"] for one in expected
    ]


def test_a_prompt_is_put_into_the_template_and_the_chat(tiny: Build) -> None:
    files, whole = tiny(writing.llama_chat), "system: be brief .\nuser: Say: good\nassistant:"
    options = {"template": "Say: {prompt}", "system": "be brief ."}
    (answer,) = write(files, [{"prompt": "good"}], **options)
    assert said(answer) == plain(files, whole, special=False)
    (bare,) = write(files, [{"prompt": "good"}], template="Say: {prompt}", chat="never")
    assert said(bare) == plain(files, "Say: good")


@pytest.mark.parametrize("build", [writing.gpt2, writing.llama_chat, text.t5])
@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": True, "temperature": 0.8, "top_k": 20, "top_p": 0.9, "seed": 3},
        {"do_sample": True, "repetition_penalty": 1.3},
        {"stop": ["a", "the"]},
        {"num_beams": 3},
    ],
)
def test_a_row_is_answered_alike_alone_and_in_any_batch(
    build: Any, options: Any, tiny: Build
) -> None:
    worker = Worker(TextGeneration(max_new_tokens=12, **options), tiny(build))
    alone: list[Any] = [worker.answer([row])[0] for row in ROWS]
    assert worker.answer(ROWS) == alone
    assert worker.answer(ROWS[::-1]) == alone[::-1]
    assert len({answer["generated_text"] for answer in alone}) > 5


def test_sampling_draws_by_the_chances_that_transformers_gives(tiny: Build) -> None:
    files, prompt = tiny(writing.decoder), text.LINES[0]
    tokenizer, model = loaded(files)
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    rolls = dice(ids[0].numpy(), 5, 12)
    settings: dict[str, Any] = {"temperature": 0.7, "top_k": 30, "top_p": 0.8}
    for roll in rolls:
        with torch.no_grad():
            step = model.generate(
                ids, max_new_tokens=1, do_sample=True, output_scores=True,
                return_dict_in_generate=True, **settings,
            )  # fmt: skip
        chances = step.scores[0][0].double().softmax(-1).cumsum(-1).numpy()
        drawn = int(np.searchsorted(chances, roll * chances[-1], side="right"))
        ids = torch.cat([ids, torch.tensor([[drawn]])], 1)
        if drawn == 2:
            break
    (answer,) = write(files, [{"prompt": prompt}], do_sample=True, seed=5, **settings)
    new = ids[0, -answer["n_new_tokens"] :]
    assert answer["generated_text"] == tokenizer.decode(new, skip_special_tokens=True)


def test_draws_spread_as_evenly_as_dice() -> None:
    rolls = np.concatenate([dice(np.arange(n), 0, 100) for n in range(100)])
    counts = np.histogram(rolls, bins=10, range=(0, 1))[0]
    assert abs(counts - 1000).max() < 150
    assert (dice(np.arange(3), 0, 4) != dice(np.arange(3), 1, 4)).all()


def test_an_answer_ends_before_a_stop_string_and_says_so(tiny: Build) -> None:
    files = tiny(writing.gpt2)
    (whole,) = write(files, ROWS[:1])
    word = whole["generated_text"][4:6]
    (answer,) = write(files, ROWS[:1], stop=["nothing like it", word])
    assert answer["generated_text"] == whole["generated_text"].partition(word)[0]
    assert answer["finish_reason"] == "stop"
    assert answer["n_new_tokens"] < whole["n_new_tokens"]


def test_a_prompt_that_is_too_long_is_rejected_or_loses_its_beginning(tiny: Build) -> None:
    files, long = tiny(writing.decoder), "bad " * 200 + "the film was wonderful"
    (rejected,) = write(files, [{"prompt": long}])
    assert isinstance(rejected, RowRejected) and rejected.reason == "too_long"
    options: dict[str, Any] = {"too_long": "truncate", "template": "Say: {prompt}"}
    short, answer = write(files, [{"prompt": "good"}, {"prompt": long}], **options)
    assert (short["prompt_truncated"], answer["prompt_truncated"]) == (False, True)
    assert 100 < answer["n_prompt_tokens"] <= 128 - 12
    tokenizer, _ = loaded(files)
    ends = [f"Say: {long[n:]}" for n in range(len(long))]
    fitting = [e for e in ends if len(tokenizer(e).input_ids) == answer["n_prompt_tokens"]]
    assert said(answer) in [plain(files, end) for end in fitting]


def test_a_chat_that_is_too_long_loses_its_oldest_turns(tiny: Build) -> None:
    files = tiny(writing.llama_chat)
    system = {"role": "system", "content": "be brief ."}
    chat = writing.asked(*(text.LINES * 2)[:15])
    (answer,) = write(files, [{"messages": [system, *chat]}], too_long="truncate")
    kept = [
        write(files, [{"messages": [system, *chat[first:]]}])[0] for first in range(8, len(chat))
    ]
    fitting = next(one for one in kept if not isinstance(one, RowRejected))
    assert answer == {**fitting, "prompt_truncated": True}


def test_continuous_batching_writes_what_static_batching_writes(tiny: Build) -> None:
    windowed = (tiny(writing.decoder, family=family) for family in ("mistral", "gemma3_text"))
    for files in (tiny(writing.gpt2), tiny(writing.llama_chat), *windowed):
        rows = [*ROWS * 3, {"prompt": "the film " * 200}, *ROWS]
        static = write(files, rows)
        found = write(files, rows, batching="continuous")
        assert [str(answer) for answer in found] == [str(answer) for answer in static]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"temperature": 0.5}, "'temperature' is for sampling: add  do_sample: true"),
        ({"num_beams": 2, "do_sample": True}, "do not go together"),
        ({"num_beams": 2, "stop": ["a"]}, "do not go together"),
        ({"num_beams": 2, "batching": "continuous"}, "cannot do 'num_beams'"),
        ({"do_sample": True, "batching": "continuous"}, "cannot do 'do_sample'"),
        ({"template": "no gap"}, "must hold {prompt}, where"),
        ({"stop": [""]}, "empty string"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: Any, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TextGeneration(**options)


@pytest.mark.parametrize(
    ("options", "columns", "told"),
    [
        ({}, ["text"], "reads column 'prompt' or 'messages', and there is neither"),
        ({"seed": 1}, ["prompt"], "options: 'seed' is for sampling: add  do_sample: true."),
    ],
)
def test_a_plan_that_cannot_work_is_refused(
    options: Any, columns: list[str], told: str, tiny: Build, tmp_path: Path
) -> None:
    model = str(tiny(writing.gpt2).folder)
    stage = {"task": "text-generation", "model": model, "options": options}
    source, sink = {"kind": "jsonl", "path": "x"}, {"kind": "parquet", "path": "out"}
    file = {"name": "a", "source": source, "stages": [stage], "sink": sink}
    flowing = pa.schema([(name, pa.string()) for name in columns])
    with pytest.raises(UsageError, match=re.escape(told)):
        make_plan(parse(file, "a.yaml"), "a.yaml", tmp_path, tmp_path, flowing)


def test_models_that_cannot_write_text_are_refused() -> None:
    whisper = {"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper"}
    assert "whisper" in str(TextGeneration().check({**whisper, "is_encoder_decoder": True}))
    t5 = {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5"}
    assert TextGeneration().check({**t5, "is_encoder_decoder": True}) is None
    told = TextGeneration(batching="continuous").check({**t5, "is_encoder_decoder": True})
    assert told == "'batching: continuous' is for decoders, and this is an encoder-decoder"


def test_a_stage_that_cannot_work_says_why_when_it_loads(tiny: Build) -> None:
    with pytest.raises(StageFailed, match="needs a model with a chat template"):
        TextGeneration(system="be brief", max_new_tokens=9).load(tiny(writing.gpt2), Device())
    with pytest.raises(StageFailed, match="takes 128 tokens, which max_new_tokens 200"):
        TextGeneration(max_new_tokens=200).load(tiny(writing.gpt2), Device())


def test_messages_need_a_chat_template(tiny: Build) -> None:
    (answer,) = write(tiny(writing.gpt2), [{"messages": writing.asked("good")}])
    assert isinstance(answer, RowRejected) and answer.reason == "no_chat_template"


def test_strange_characters_are_answered(tiny: Build) -> None:
    answers = write(tiny(writing.llama_chat), [{"prompt": one} for one in STRANGE])
    assert [type(answer) for answer in answers] == [dict] * len(STRANGE)


def test_a_megabyte_of_prompt_is_answered_or_rejected(tiny: Build) -> None:
    row: Row = {"prompt": "good film " * 100_000}
    (rejected,) = write(tiny(writing.llama_chat), [row])
    assert rejected.reason == "too_long"
    (answer,) = write(tiny(writing.llama_chat), [row], too_long="truncate")
    assert answer["prompt_truncated"] is True


def test_an_encoder_decoder_answers_prompts(tiny: Build) -> None:
    files = tiny(text.t5)
    tokenizer, model = loaded(files, hf.AutoModelForSeq2SeqLM)
    for row, answer in zip(ROWS, write(files, ROWS), strict=True):
        inputs = tokenizer(row["prompt"], return_tensors="pt")
        with torch.no_grad():
            ids = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, 1:]
        written = tokenizer.decode(ids, skip_special_tokens=True)
        assert said(answer) == (written, len(ids), 1 in ids.tolist())
        assert answer["n_prompt_tokens"] == inputs["input_ids"].shape[1]
