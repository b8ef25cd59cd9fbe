"""visual-question-answering equals the same model called the plain way, one row at a time."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as hf

from actors.errors import RowRejected
from actors.images import decode
from actors.multimodal.visual_question_answering import VisualQuestionAnswering
from actors.stage import ModelFiles, Row
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import telling
from tests.tiny.seeing import PICTURES, encoded, photo
from tests.tiny.telling import QUESTIONS

Build = Callable[..., ModelFiles]


def answers(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(VisualQuestionAnswering(**options), files).answer(rows)


def opened(files: ModelFiles, kind: Any = hf.AutoModelForVisualQuestionAnswering) -> Any:
    processor = hf.AutoProcessor.from_pretrained(files.folder, backend="pil")
    return processor, kind.from_pretrained(files.folder)


def test_vilt_scores_its_answers_as_the_plain_model(tiny: Build) -> None:
    files = tiny(telling.vilt)
    processor, model = opened(files)
    for row, answer in zip(QUESTIONS, answers(files, QUESTIONS, top_k=2), strict=True):
        inputs = processor(decode(row["image"]), row["question"], return_tensors="pt")
        with torch.inference_mode():
            scores, labels = model(**inputs).logits[0].sigmoid().topk(2)
        best = [
            {"answer": model.config.id2label[int(label)], "score": float(score)}
            for label, score in zip(labels, scores, strict=True)
        ]
        assert_close(answer, {**best[0], "answers": best, "question_truncated": False}, 1e-5)


def test_vilt_looks_at_all_of_a_picture_every_time(tiny: Build) -> None:
    some, every = tiny(telling.vilt, max_image_length=10), tiny(telling.vilt)
    assert_close(answers(some, QUESTIONS), answers(every, QUESTIONS), 1e-5)


def plain_blip(files: ModelFiles, row: Row) -> tuple[Any, Any, Any]:
    processor, model = opened(files)
    return processor, model, processor(decode(row["image"]), row["question"], return_tensors="pt")


def plain_git(files: ModelFiles, row: Row) -> tuple[Any, Any, Any]:
    processor, model = opened(files, hf.AutoModelForCausalLM)
    pixels = processor(images=decode(row["image"]), return_tensors="pt").pixel_values
    ids = processor.tokenizer(row["question"], add_special_tokens=False).input_ids
    return processor, model, {"pixel_values": pixels, "input_ids": torch.tensor([[2, *ids]])}


@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize(
    ("build", "plain"), [(telling.blip_answerer, plain_blip), (telling.git, plain_git)]
)
def test_written_answers_are_what_the_model_generates_alone(
    tiny: Build, build: Any, plain: Any, beams: int
) -> None:
    files = tiny(build)
    found = answers(files, QUESTIONS, max_new_tokens=6, num_beams=beams)
    for row, answer in zip(QUESTIONS, found, strict=True):
        processor, model, inputs = plain(files, row)
        ids = model.generate(**inputs, max_new_tokens=6, num_beams=beams, do_sample=False)
        new = ids[0, len(inputs["input_ids"][0]) if plain is plain_git else 1 :]
        text = processor.decode(new, skip_special_tokens=True).strip()
        assert answer["answer"] == text != ""
        assert answer["answers"] == [{"answer": text, "score": answer["score"]}]


@pytest.mark.parametrize("build", [telling.vilt, telling.blip_answerer, telling.git])
def test_a_question_too_long_is_rejected_or_read_to_where_the_model_goes(
    tiny: Build, build: Any
) -> None:
    rows = [{**PICTURES[0], "question": "film " * n} for n in (100, 200, 3)]
    kept = answers(tiny(build), rows, too_long="truncate")
    assert [one["question_truncated"] for one in kept] == [True, True, False]
    assert_close(kept[0], kept[1], 1e-6)
    refused = answers(tiny(build), rows)
    assert [isinstance(one, RowRejected) and one.reason for one in refused] == [
        "too_long",
        "too_long",
        False,
    ]


def test_a_picture_too_narrow_for_a_patch_is_rejected(tiny: Build) -> None:
    row = {"image": encoded(photo(400, 10)), "question": "why ?"}
    (answer,) = answers(tiny(telling.vilt), [row])
    assert isinstance(answer, RowRejected) and answer.reason == "image_too_narrow"
