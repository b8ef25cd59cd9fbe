"""document-layout: regions in reading order, and the lines that are theirs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from actors.errors import RowRejected
from actors.models.embedded import prepare
from actors.reading.regions import distinct, owner, reading_order
from actors.stage import ModelFiles, Row
from actors.vision.document_layout import DocumentLayout
from actors.vision.object_detection import ObjectDetection
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny.layout import GOOD, line, pages
from tests.tiny.seeing import PICTURES, encoded

Build = Callable[..., ModelFiles]


def boxes(*edges: tuple[float, float, float, float]) -> Any:
    return np.array(edges, dtype=np.float32).reshape(-1, 4)


def test_columns_are_read_one_after_the_other() -> None:
    # A title above two columns, whose gaps stand side by side, and a footer.
    page = boxes((60, 500, 540, 520), (310, 100, 540, 290), (60, 20, 540, 60), (60, 310, 290, 480),
                 (310, 310, 540, 480), (60, 100, 290, 290))  # fmt: skip
    assert reading_order(page) == [2, 5, 3, 1, 4, 0]


def test_a_figure_across_the_page_parts_it_into_bands() -> None:
    page = boxes((0, 0, 90, 50), (110, 0, 200, 50), (0, 60, 200, 90), (0, 100, 90, 150),
                 (110, 100, 200, 150))  # fmt: skip
    assert reading_order(page[[4, 2, 0, 3, 1]]) == [2, 4, 1, 3, 0]


def test_boxes_that_reach_a_little_into_each_other_are_still_ordered() -> None:
    assert reading_order(boxes((0, 98, 200, 200), (0, 0, 200, 102))) == [1, 0]
    assert reading_order(boxes()) == []


def test_of_regions_on_each_other_the_better_stays() -> None:
    found = boxes((0, 0, 100, 100), (0, 5, 100, 100), (0, 0, 40, 40), (200, 0, 300, 50))
    assert distinct(found, 0.5).tolist() == [0, 2, 3]
    assert distinct(found, 1.0).tolist() == [0, 1, 2, 3]
    assert distinct(boxes(), 0.5).tolist() == []


def test_a_line_belongs_to_the_smallest_region_that_holds_the_most_of_it() -> None:
    regions = boxes((0, 0, 200, 200), (10, 10, 100, 50), (0, 300, 100, 320))
    assert owner((20, 20, 90, 30), regions) == 1
    assert owner((110, 20, 190, 30), regions) == 0
    assert owner((90, 300, 190, 320), regions) is None
    assert owner((0, 0, 10, 10), boxes()) is None


def test_regions_are_those_of_the_detector_in_reading_order(tiny: Build) -> None:
    files = tiny(pages)
    stage = DocumentLayout(threshold=0.2, overlap=1)
    found = Worker(ObjectDetection(threshold=0.2), files).answer(PICTURES)
    for one, answer in zip(found, Worker(stage, files).answer(PICTURES), strict=True):
        regions = answer["regions"]
        assert [region["order"] for region in regions] == list(range(len(regions)))
        assert {region["text"] for region in regions} | {answer["outside_text"]} == {None}
        kept = [{n: region[n] for n in ("label", "score", "box")} for region in regions]
        wanted = [{n: thing[n] for n in ("label", "score", "box")} for thing in one["detections"]]
        assert_close(sorted(kept, key=lambda r: -r["score"]), wanted, 1e-5)


def test_every_line_is_in_one_region_or_outside(tiny: Build) -> None:
    answers = Worker(DocumentLayout(threshold=0.2), tiny(pages)).answer(GOOD)
    for row, answer in zip(GOOD, answers, strict=True):
        texts = [region["text"] for region in answer["regions"]] + [answer["outside_text"]]
        read = sorted(text for part in texts for text in part.split("\n") if text)
        assert read == sorted(one["text"] for one in row["lines"])
    assert "Far away" in answers[-1]["outside_text"]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (None, "null_input"),
        ([line("nowhere")], "no_box"),
        ([None], "no_box"),
        ([line("half", 1, None, 9, 9)], "no_box"),
        ([line("nan", 1, float("nan"), 9, 9)], "no_box"),
        ([line("turned", 9, 9, 1, 1)], "no_box"),
    ],
)
def test_lines_without_a_place_are_rejected(lines: Any, reason: str, tiny: Build) -> None:
    row = {**PICTURES[0], "lines": lines}
    (answer,) = Worker(DocumentLayout(), tiny(pages)).answer([row])
    assert isinstance(answer, RowRejected) and answer.reason == reason


def test_a_model_of_things_is_refused() -> None:
    made = {"architectures": ["YolosForObjectDetection"], "model_type": "yolos"}
    cats = {**made, "id2label": {"0": "cat", "1": "dining table"}}
    assert "this one finds cat, dining table" in str(DocumentLayout().check(cats))
    assert DocumentLayout().check({**made, "id2label": {"0": "Title"}}) is None


def page_with_text() -> Row:
    """Two paragraphs on a white page, and their lines as OCR would place them."""
    page = Image.new("RGB", (620, 800), "white")
    font, lines = ImageFont.load_default(15), []
    for top in (60, 400):
        for n in range(9):
            y, text = (
                top + 22 * n,
                "rain fell on the roof of the house for days and days and more",
            )
            ImageDraw.Draw(page).text((60, y), text, "black", font)
            lines.append(line(f"{top} {n}", 60, y, 540, y + 18))
    return {"image": encoded(page), "lines": lines}


@pytest.mark.embedded
def test_the_embedded_model_finds_the_paragraphs_of_a_page(cache: Path) -> None:
    worker = Worker(DocumentLayout(), ModelFiles(prepare("picodet-layout", cache)))
    (answer,) = worker.answer([page_with_text()])
    first, second = (r for r in answer["regions"] if r["label"] == "text")
    assert [first["text"], second["text"]] == [
        "\n".join(f"{top} {n}" for n in range(9)) for top in (60, 400)
    ]
    assert answer["outside_text"] == ""
