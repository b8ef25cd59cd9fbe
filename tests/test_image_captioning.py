"""image-captioning equals the same model's own `generate`, one picture at a time."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as hf
from pydantic import ValidationError

from actors.errors import RowRejected, StageFailed
from actors.images import decode
from actors.multimodal.image_captioning import ImageCaptioning
from actors.stage import ModelFiles, Row
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import telling
from tests.tiny.seeing import PICTURES

Build = Callable[..., ModelFiles]
BUILDS = [telling.blip, telling.git, telling.florence, telling.painted]


def captions(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(ImageCaptioning(**{"max_new_tokens": 8, **options}), files).answer(rows)


def plain(files: ModelFiles, row: Row, words: str | None, beams: int = 1) -> Row:
    """The caption by the model's processor and `generate`, its score by transition scores."""
    processor, model, inputs = asked(files, row, words)
    out = model.generate(
        **inputs,
        **{"max_new_tokens": 8, "num_beams": beams, "do_sample": False},
        **{"return_dict_in_generate": True, "output_scores": True},
    )
    writer = getattr(model, "text_decoder", model)
    steps = writer.compute_transition_scores(
        out.sequences, out.scores, getattr(out, "beam_indices", None), normalize_logits=beams == 1
    )
    (text,) = processor.batch_decode(out.sequences, skip_special_tokens=True)
    chance = float(steps[0].exp().mean())
    return {"caption": text.strip(), "score": chance, "caption_truncated": steps.shape[1] == 8}


def asked(files: ModelFiles, row: Row, words: str | None) -> tuple[Any, Any, Any]:
    """Processor, model and the inputs that the model's documentation shows."""
    image = decode(row["image"])
    model = hf.AutoModelForImageTextToText.from_pretrained(files.folder)
    if model.config.model_type == "vision-encoder-decoder":
        pictures = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
        tokenizer = hf.AutoTokenizer.from_pretrained(files.folder)
        return tokenizer, model, pictures(image, return_tensors="pt")
    processor = hf.AutoProcessor.from_pretrained(files.folder, backend="pil")
    if model.config.model_type == "git" and words:
        inputs = processor(images=image, return_tensors="pt")
        ids = processor.tokenizer(words, add_special_tokens=False).input_ids
        return processor, model, {**inputs, "input_ids": torch.tensor([[2, *ids]])}
    return processor, model, processor(images=image, text=words, return_tensors="pt")


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("build", BUILDS)
def test_captions_are_what_the_model_generates_alone(tiny: Build, build: Any, beams: int) -> None:
    files = tiny(build)
    usual = "<CAPTION>" if build is telling.florence else None
    expected = [plain(files, row, usual, beams) for row in PICTURES]
    assert_close(captions(files, PICTURES, num_beams=beams), expected, 1e-5)


@pytest.mark.parametrize("build", BUILDS[:3])
def test_a_prompt_is_put_as_the_family_takes_it(tiny: Build, build: Any) -> None:
    rows = [{**PICTURES[0], "prompt": "the film was good"}, {**PICTURES[1], "prompt": None}]
    expected = [plain(tiny(build), row, row["prompt"] or "good") for row in rows]
    assert_close(captions(tiny(build), rows, prompt="good"), expected, 1e-5)


def test_a_task_of_florence_must_stand_alone(tiny: Build) -> None:
    row = {**PICTURES[0], "prompt": "<CAPTION> please"}
    (answer,) = captions(tiny(telling.florence), [row])
    assert isinstance(answer, RowRejected) and answer.reason == "bad_prompt"


def test_a_model_that_takes_no_words_refuses_a_prompt_as_option_and_in_a_row(tiny: Build) -> None:
    config = {"model_type": "vision-encoder-decoder"}
    assert "takes no prompt" in (ImageCaptioning(prompt="a").check(config) or "")
    (answer,) = captions(tiny(telling.painted), [{**PICTURES[0], "prompt": "a"}])
    assert isinstance(answer, RowRejected) and answer.reason == "bad_prompt"


def test_more_tokens_than_the_model_has_places_for_are_refused(tiny: Build) -> None:
    with pytest.raises(StageFailed, match="the model takes 64 tokens"):
        captions(tiny(telling.blip), [], max_new_tokens=70)


def test_a_column_of_prompts_is_not_read_where_the_model_takes_none(tiny: Build) -> None:
    stage = ImageCaptioning()
    config = {"model_type": "vision-encoder-decoder"}
    assert list(stage.inputs(config)) == ["image"]
    assert list(stage.inputs({"model_type": "git"})) == ["image", "prompt"]


def test_a_blank_prompt_is_refused() -> None:
    with pytest.raises(ValidationError, match="is blank"):
        ImageCaptioning(prompt=" ")
