"""multimodal-chat answers as each model's own processor and `generate` do, one row at a time."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import transformers as hf

from actors import sound
from actors.errors import RowRejected
from actors.images import decode
from actors.multimodal.multimodal_chat import MultimodalChat
from actors.stage import Device, ModelFiles, Row
from actors.telling.conversation import turns_of
from actors.telling.phi4 import grid_of
from actors.telling.processors import open_processor
from actors.telling.talker import Talker
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import chatting
from tests.tiny.chatting import CHATS, SHOWN

Build = Callable[..., ModelFiles]
FAMILIES: dict[str, Callable[[Build], ModelFiles]] = {
    "idefics": lambda tiny: tiny(chatting.idefics1),
    "idefics2": lambda tiny: tiny(chatting.idefics2),
    "idefics3": lambda tiny: tiny(chatting.idefics3),
    "smolvlm": lambda tiny: tiny(chatting.smolvlm),
    "phi4_multimodal": lambda tiny: tiny(chatting.phi4),
    **{
        name: partial(lambda name, tiny: tiny(chatting.qwen, family=name), name)
        for name in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
    },
}
every_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(autouse=True)
def num2words(monkeypatch: pytest.MonkeyPatch) -> None:
    """SmolVLM's processor wants this package before it opens, and uses it for videos alone."""
    from transformers.models.smolvlm import processing_smolvlm

    monkeypatch.setattr(processing_smolvlm, "num2words", str)


def answers(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(MultimodalChat(**{"max_new_tokens": 6, **options}), files).answer(rows)


def pictures_of(row: Row) -> list[Any]:
    return [decode(data) for data in [row.get("image"), *(row.get("images") or [])] if data]


def chat_of(row: Row) -> list[Row]:
    """The messages as the documentation of transformers writes them."""
    said = row.get("messages") or [{"role": "user", "content": row["prompt"]}]
    first = next(n for n, one in enumerate(said) if one["role"] == "user")
    shown = [{"type": "image", "image": picture} for picture in pictures_of(row)]
    heard = [{"type": "audio", "audio": row["samples"]}] if "samples" in row else []
    return [
        {
            "role": one["role"],
            "content": [
                *([*shown, *heard] if n == first else []),
                {"type": "text", "text": one["content"]},
            ],
        }
        for n, one in enumerate(said)
    ]


def plain(model: Any, processor: Any, row: Row) -> Row:
    """The answer to one row, its tokens counted."""
    inputs = processor.apply_chat_template(
        [chat_of(row)],
        **{"add_generation_prompt": True, "tokenize": True},
        **{"return_dict": True, "return_tensors": "pt"},
    )
    inputs.pop("num_img_tokens", None)
    ids = model.generate(**inputs, max_new_tokens=6, do_sample=False, pad_token_id=1)
    read = inputs["input_ids"].shape[1]
    new = ids[0, read:]
    return {
        "generated_text": processor.tokenizer.decode(new, skip_special_tokens=True),
        "n_prompt_tokens": read,
        "n_new_tokens": len(new),
        "finish_reason": "stop" if int(new[-1]) == 2 else "length",
    }


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "idefics"])
def test_answers_are_what_the_model_generates_alone(tiny: Build, family: str) -> None:
    files = FAMILIES[family](tiny)
    rows = CHATS[::3] if family == "phi4_multimodal" else CHATS  # its pictures take 300 tokens
    processor = open_processor(files.folder, "pil")
    # Eager attention, because of what actors/telling/talker.py says of Phi-4's eye.
    model = hf.AutoModelForMultimodalLM.from_pretrained(files.folder, attn_implementation="eager")
    assert answers(files, rows) == [plain(model, processor, row) for row in rows]


def test_the_first_idefics_is_asked_as_its_card_does(tiny: Build) -> None:
    files = tiny(chatting.idefics1)
    processor = hf.AutoProcessor.from_pretrained(files.folder, backend="pil")
    model = hf.AutoModelForMultimodalLM.from_pretrained(files.folder)
    end = "<end_of_utterance>"
    prompts = ["User: ", decode(SHOWN[0]), f" what is it ?{end}\n", "Assistant:"]
    inputs = processor(text=[prompts], add_end_of_utterance_token=False, return_tensors="pt")
    banned = processor.tokenizer(
        ["<image>", "<fake_token_around_image>"], add_special_tokens=False
    ).input_ids
    ends = [2, processor.tokenizer.convert_tokens_to_ids(end)]
    ids = model.generate(**inputs, eos_token_id=ends, bad_words_ids=banned, max_new_tokens=6)
    (answer,) = answers(files, [{"prompt": "what is it ?", "image": SHOWN[0]}])
    new = ids[0, inputs["input_ids"].shape[1] :]
    assert answer["generated_text"] == processor.tokenizer.decode(new, skip_special_tokens=True)


@every_family
def test_tokens_are_as_likely_in_a_batch_as_alone(tiny: Build, family: str) -> None:
    manner = {"settings": {"max_new_tokens": 6, "num_beams": 1}, "chances": True}
    talker = Talker(FAMILIES[family](tiny).folder, Device(), "pil", manner)
    rows = [{"prompt": words, "image": SHOWN[0]} for words in ("why ?", "what is good ?", "a film")]
    items = [talker.item(turns_of(row, None, pictures_of(row), ())) for row in rows]
    assert len({item.shape for item in items}) == 1 and len({len(i.data.ids) for i in items}) > 1
    alone = [talker.write([item])[0] for item in items]
    together = talker.write(items)
    assert [one.text for one in together] == [one.text for one in alone]
    assert_close([one.chance for one in together], [one.chance for one in alone], 1e-5)


def test_answers_are_those_of_transformers_pipeline(tiny: Build) -> None:
    files, rows = tiny(chatting.idefics3), CHATS[:3]
    pipe = hf.pipeline("image-text-to-text", str(files.folder))
    chats = [chat_of(row) for row in rows]
    found = pipe(text=chats, max_new_tokens=6, do_sample=False, return_full_text=False)
    texts = [one["generated_text"] for (one,) in found]
    assert [one["generated_text"] for one in answers(files, rows)] == texts


def test_phi4_answers_to_a_picture_sound_and_a_text_together(tiny: Build) -> None:
    files = tiny(chatting.phi4)
    samples = np.sin(np.arange(16_000) / 20).astype(np.float32) / 2
    audio = sound.encode(samples, 16_000)
    row = {"prompt": "what is it ?", "image": SHOWN[0], "audio": audio}
    heard = sound.decode(audio, 16_000)[0]
    model = hf.AutoModelForMultimodalLM.from_pretrained(files.folder, attn_implementation="eager")
    expected = plain(model, open_processor(files.folder, "pil"), {**row, "samples": heard})
    silent, found = answers(files, [{**row, "audio": None}, row])
    assert found == expected and silent["n_prompt_tokens"] < found["n_prompt_tokens"]


def test_phi4s_grids_are_those_that_fit_a_picture_best() -> None:
    sizes = [(448, 448), (1000, 400), (2000, 500), (500, 2000), (3000, 3000)]
    grids = [(1, 1), (3, 1), (4, 1), (1, 4), (2, 2)]
    assert [grid_of(*size, side=448, most=6) for size in sizes] == grids


def test_sampling_draws_by_the_row_and_its_seed(tiny: Build) -> None:
    files, drawn = tiny(chatting.idefics3), {"do_sample": True, "temperature": 2.0}
    alone = [answers(files, [row], **drawn)[0] for row in CHATS[:3]]
    assert answers(files, CHATS[:3], **drawn) == alone
    assert answers(files, CHATS[:3], **drawn, seed=1) != alone


def test_a_text_that_holds_the_mark_of_a_picture_is_rejected(tiny: Build) -> None:
    (answer,) = answers(tiny(chatting.idefics3), [{"prompt": "see <image> ?"}])
    assert isinstance(answer, RowRejected) and answer.reason == "bad_messages"


def test_smaller_pictures_take_fewer_tokens(tiny: Build) -> None:
    files, rows = tiny(chatting.qwen), CHATS[:1]
    counts = [answers(files, rows, max_side=side)[0]["n_prompt_tokens"] for side in (None, 30)]
    assert counts[0] > counts[1]


def test_sound_is_read_only_by_models_that_hear(tiny: Build) -> None:
    stage, config = MultimodalChat(), {"model_type": "idefics3", "vision_config": {"a": 1}}
    assert "audio" not in stage.inputs(config)
    assert "audio" in stage.inputs({**config, "audio_config": {"a": 1}})
    (answer,) = answers(tiny(chatting.idefics3), [{"prompt": "what ?", "audio": b"RIFF"}])
    assert isinstance(answer, RowRejected) and answer.reason == "hears_nothing"


def test_a_chat_without_a_text_column_is_refused_by_the_plan() -> None:
    assert "neither" in (MultimodalChat().wired({"image"}, None) or "")
    assert MultimodalChat().wired({"prompt", "image"}, None) is None


def test_a_processor_that_needs_what_is_not_installed_is_refused(
    tiny: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.smolvlm import processing_smolvlm

    from actors.errors import StageFailed

    monkeypatch.setattr(processing_smolvlm, "num2words", None)
    with pytest.raises(StageFailed, match="pip install num2words"):
        answers(tiny(chatting.smolvlm), [])
