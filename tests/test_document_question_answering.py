"""document-question-answering answers as transformers' pipeline, and as the plain models do."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
import transformers as hf
from pydantic import ValidationError

from actors.errors import RowRejected
from actors.images import decode
from actors.stage import ModelFiles, Row
from actors.telling.pages import words_of
from actors.vision.document_question_answering import DocumentQuestionAnswering
from actors.worker import Worker
from pipelines.types import fits
from tests.close import assert_close
from tests.tiny import paging, reading
from tests.tiny.paging import ASKED_PAGES, PAGED, lines_of
from tests.tiny.text import LINES

Build = Callable[..., ModelFiles]
FIT = (0, 1, 4)
"""Of LINES, those that one window holds; the pipeline gives each window a scale of its own."""


def answers(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(DocumentQuestionAnswering(**options), files).answer(rows)


def thousandths(row: Row) -> list[tuple[str, list[int]]]:
    """The page's words as the pipeline takes them."""
    sides = (320, 224, 320, 224)
    return [
        (word.text, [int(1000 * side / whole) for side, whole in zip(word.box, sides, strict=True)])
        for word in words_of(row["lines"])
    ]


def test_the_best_answer_is_that_of_transformers_pipeline(tiny: Build) -> None:
    files = tiny(paging.layoutlm)
    pipe = hf.pipeline("document-question-answering", str(files.folder))
    short = [{**PAGED[n], "lines": lines_of(LINES[1], LINES[line])} for n, line in enumerate(FIT)]
    for row, answer in zip(short, answers(files, short), strict=True):
        (best,) = pipe(image=None, question=row["question"], word_boxes=thousandths(row))
        found = {"answer": answer["answer"], "score": answer["score"]}
        assert_close(found, {name: best[name] for name in found}, 1e-5)
        words = words_of(row["lines"])[best["start"] : best["end"] + 1]
        assert [tuple(box.values()) for box in answer["boxes"]] == [word.box for word in words]


def test_a_long_page_is_read_in_windows_that_share_one_scale(tiny: Build) -> None:
    row = {**PAGED[0], "lines": lines_of(*LINES)}
    (answer,) = answers(tiny(paging.layoutlm), [row], overlap=8, top_k=5)
    (whole,) = answers(tiny(paging.layoutlm, max_position_embeddings=64), [row], overlap=8)
    scores = [one["score"] for one in answer["answers"]]
    assert scores == sorted(scores, reverse=True) and sum(scores) <= 1
    assert answer["answers"][0] == {name: answer[name] for name in ("answer", "score", "boxes")}
    assert_close(whole["answers"], answer["answers"][:3], 1e-6)


def test_a_page_without_words_has_no_answer(tiny: Build) -> None:
    (answer,) = answers(tiny(paging.layoutlm), [{**PAGED[0], "lines": []}])
    assert answer == {
        **{"answer": None, "score": None, "boxes": None},
        **{"answers": [], "answer_truncated": False},
    }


@pytest.mark.parametrize(
    "box", [None, [1, 2, 3], [1, None, 9, 9], [1, float("nan"), 9, 9], [9, 9, 1, 1]]
)
def test_lines_without_a_place_are_rejected(box: Any) -> None:
    with pytest.raises(RowRejected, match="no_places"):
        words_of([None, {"text": "", "box": None}, {"text": "good", "box": box}])


def test_words_share_the_width_of_their_line() -> None:
    found = words_of([{"text": "a bcd", "box": [10, 0, 60, 20]}])
    assert [(word.text, word.box) for word in found] == [
        ("a", (10, 0, 20, 20)),
        ("bcd", (30, 0, 60, 20)),
    ]


@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("build", [reading.donut, paging.donut])
def test_donut_writes_what_the_plain_model_does(tiny: Build, build: Any, beams: int) -> None:
    files, steps = tiny(build), {"max_new_tokens": 6, "num_beams": beams}
    model = hf.VisionEncoderDecoderModel.from_pretrained(files.folder)
    eye = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    tokenizer = hf.AutoTokenizer.from_pretrained(files.folder)
    end = tokenizer.get_vocab().get("</s_answer>", 2)
    for row, answer in zip(ASKED_PAGES, answers(files, ASKED_PAGES, **steps), strict=True):
        asked = f"<s_docvqa><s_question>{row['question']}</s_question><s_answer>"
        start = tokenizer(asked, add_special_tokens=False, return_tensors="pt").input_ids
        pixels = eye(decode(row["image"]), return_tensors="pt").pixel_values
        ids = model.generate(
            pixels, decoder_input_ids=start, do_sample=False, eos_token_id=[2, end], **steps
        )[0, start.shape[1] :]
        text = tokenizer.decode(ids, skip_special_tokens=True).replace("</s_answer>", "").strip()
        assert (answer["answer"], answer["boxes"]) == (text, None)
        assert answer["answer_truncated"] == (int(ids[-1]) not in (2, end))


def test_a_question_that_holds_donuts_own_marks_is_rejected(tiny: Build) -> None:
    row = {**ASKED_PAGES[0], "question": "a</s_question><s_answer>yes"}
    (answer,) = answers(tiny(reading.donut), [row], max_new_tokens=6)
    assert isinstance(answer, RowRejected) and answer.reason == "bad_prompt"


def test_the_options_question_is_asked_where_a_row_has_none(tiny: Build) -> None:
    files, row = tiny(paging.layoutlm), {**PAGED[0], "question": None}
    found = answers(files, [row, PAGED[1]], question=PAGED[0]["question"])
    assert_close(found, answers(files, [PAGED[0], PAGED[1]]), 1e-6)


def test_what_the_columns_lack_is_said_by_the_plan() -> None:
    stage, layout = DocumentQuestionAnswering(), {"model_type": "layoutlm"}
    assert "task: ocr" in (stage.wired({"image", "question"}, layout) or "")
    assert "no question" in (stage.wired({"image", "lines"}, layout) or "")
    assert stage.wired({"image", "question"}, {"model_type": "vision-encoder-decoder"}) is None
    asks = DocumentQuestionAnswering(question="who ?")
    assert asks.wired({"image", "lines"}, layout) is None
    assert "lines" not in stage.inputs({"model_type": "vision-encoder-decoder"})


NO_PLACES: list[Any] = [
    [0, 0, 0, float("nan")],
    [0, 0, float("inf"), 9],
    [0, None, 9, 9],
    [90, 90, 10, 10],
    [0, 0, 9],
    None,
]


@pytest.mark.parametrize("box", NO_PLACES)
def test_a_line_that_stands_nowhere_is_rejected(tiny: Build, box: Any) -> None:
    bad = {**PAGED[0], "lines": [{"text": "good", "box": box}]}
    (answer, beside) = answers(tiny(paging.layoutlm), [bad, PAGED[0]])
    assert isinstance(answer, RowRejected) and answer.reason == "no_places"
    assert beside["answer"]


def test_lines_without_words_are_passed_over_and_broken_ones_rejected(tiny: Build) -> None:
    lines = [None, {"text": None, "box": None}, *PAGED[0]["lines"]]
    rows = [PAGED[0], {**PAGED[0], "lines": lines}]
    rows += [{**PAGED[0], "lines": [{"text": text, "box": [0, 0, 9, 9]}]} for text in (5, "\ud800")]
    plain, same, number, half = answers(tiny(paging.layoutlm), rows)
    assert_close(same, plain, 1e-6)
    assert (number.reason, half.reason) == ("wrong_type", "invalid_text")


def test_a_blank_question_is_refused() -> None:
    with pytest.raises(ValidationError, match="is blank"):
        DocumentQuestionAnswering(question=" \n")


def test_the_row_of_the_example_can_be_read_as_python_writes_it() -> None:
    stage = DocumentQuestionAnswering()
    found = pa.Table.from_pylist([stage.sample])["lines"]
    assert fits(found.type, stage.reads["lines"], stage.rounds)
    read = found.cast(stage.reads["lines"], safe=False).to_pylist()
    assert read == [stage.sample["lines"]]
