"""Boxes out of heat maps, crops out of pages, and the order in which a person reads."""

import math

import cv2
import numpy as np
import pytest

from actors.reading.boxes import Box, find_boxes
from actors.reading.lines import page_columns
from actors.reading.order import reading_order

H = 20.0  # a line's height


def line(x: float, y: float, width: float, angle: float = 0.0) -> Box:
    """A line by its left end and its middle, turned about the page's corner."""
    turn, centre = math.radians(angle), x + width / 2
    px = centre * math.cos(turn) - y * math.sin(turn)
    py = centre * math.sin(turn) + y * math.cos(turn)
    return Box(px, py, width, H, angle, 0.9)


def order(boxes: list[Box]) -> list[int]:
    """Reading order of boxes that are given shuffled."""
    shuffled = np.random.default_rng(0).permutation(len(boxes)).tolist()
    found = reading_order([boxes[i] for i in shuffled])
    return [shuffled[i] for paragraph in found for row in paragraph for i in row]


def columns(xs: list[float], lines: int, angle: float, top: float = 60.0) -> list[Box]:
    """Lines of running text, one column after the other."""
    return [line(x, top + 30 * n, 300 - 7 * (n % 3), angle) for x in xs for n in range(lines)]


@pytest.mark.parametrize("angle", [-5.0, 0.0, 3.0])
def test_lines_are_read_from_top_to_bottom_also_on_a_skewed_page(angle: float) -> None:
    page = columns([40], 12, angle)
    assert order(page) == list(range(12))


@pytest.mark.parametrize("angle", [-4.0, 0.0, 4.0])
def test_two_columns_under_a_title_are_read_one_after_the_other(angle: float) -> None:
    page = [line(40, 20, 640, angle), *columns([40, 380], 8, angle), line(40, 330, 640, angle)]
    assert order(page) == list(range(18))


def test_three_columns_are_read_one_after_the_other() -> None:
    assert order(columns([40, 380, 720], 8, 0)) == list(range(24))


def test_columns_whose_lines_do_not_stand_level_are_kept_apart() -> None:
    page = [*columns([40], 8, 0), *columns([380], 8, 0, top=71)]
    assert order(page) == list(range(16))


@pytest.mark.parametrize("angle", [0.0, 3.0])
def test_a_table_is_read_row_by_row(angle: float) -> None:
    cells = ((40, 150), (400, 30), (560, 70), (700, 80))
    page = [line(x, 60 + 30 * n, width, angle) for n in range(6) for x, width in cells]
    assert order(page) == list(range(24))


def test_a_form_with_long_values_is_read_row_by_row() -> None:
    page = [line(x, 60 + 40 * n, width) for n in range(6) for x, width in ((40, 110), (300, 300))]
    assert order(page) == list(range(12))


def test_a_page_without_boxes_has_no_order() -> None:
    assert reading_order([]) == []


def test_rows_are_lines_of_text_and_wider_gaps_are_empty_lines() -> None:
    boxes = [line(40, y, 300) for y in (20, 50, 80, 140, 170)]
    reads = [(f"line {n}", 0.9) for n in range(5)]
    text = page_columns(boxes, reads, 0.0)["text"]
    assert text == "line 0\nline 1\nline 2\n\nline 3\nline 4"


def test_rows_of_a_form_are_paragraphs_of_their_own_however_many_they_are() -> None:
    boxes = [*(line(40, 40 + 40 * n, 300) for n in range(6)), line(40, 280, 600)]
    reads = [(f"row {n}", 0.9) for n in range(7)]
    text = page_columns(boxes, reads, 0.0)["text"]
    assert text.split("\n\n") == [f"row {n}" for n in range(7)]


def test_cells_of_one_row_are_parted_by_a_tab() -> None:
    boxes = [line(400, 20, 60), line(40, 22, 100)]
    assert page_columns(boxes, [("12.50", 0.9), ("Total", 0.8)], 0.0)["text"] == "Total\t12.50"


def test_words_that_stand_close_are_parted_by_a_space() -> None:
    boxes = [line(40, 20, 100), line(146, 20, 100)]
    assert page_columns(boxes, [("two", 0.9), ("words", 0.9)], 0.0)["text"] == "two words"


def test_lines_without_characters_or_confidence_are_left_out() -> None:
    boxes = [line(40, 20 + 30 * n, 300) for n in range(3)]
    columns = page_columns(boxes, [("sure", 0.9), ("  ", 0.9), ("unsure", 0.2)], 0.5)
    assert (columns["text"], len(columns["lines"])) == ("sure", 1)


def heat(*boxes: Box) -> np.ndarray:
    """The heat map, 640 x 480, of a detector that is nine tenths sure of these regions."""
    out = np.zeros((480, 640), np.float32)
    for box in boxes:
        corners = np.array(box.polygon()).reshape(4, 2).round().astype(np.int32)
        cv2.fillPoly(out, [corners], 0.9)
    return out


@pytest.mark.parametrize("angle", [-20.0, -2.0, 0.0, 7.0])
def test_a_box_is_found_where_the_text_stands_and_at_its_angle(angle: float) -> None:
    [box] = find_boxes(heat(Box(320, 240, 300, 40, angle, 1.0)), (640, 480), 0.3)
    assert abs(box.angle - angle) < 1
    assert np.allclose([box.x, box.y], [320, 240], atol=1.5)
    grown = 1.6 * 300 * 40 / (300 + 40)
    assert np.allclose([box.width, box.height], [300 + grown, 40 + grown], atol=3)


def test_boxes_are_given_in_pixels_of_the_page() -> None:
    [box] = find_boxes(heat(Box(320, 240, 300, 40, 0.0, 1.0)), (1280, 1440), 0.3)
    assert np.allclose([box.x, box.y, box.score], [640, 720, 0.9], atol=3)


def test_a_short_word_takes_the_angle_of_the_page() -> None:
    lines = [Box(300, 60 + 60 * n, 400, 40, 5.0, 1.0) for n in range(4)]
    found = find_boxes(heat(*lines, Box(560, 400, 46, 40, 0.0, 1.0)), (640, 480), 0.3)
    assert all(abs(box.angle - 5.0) < 1 for box in found) and len(found) == 5


def test_text_that_runs_down_the_page_is_turned_and_a_single_digit_is_not() -> None:
    lines = [Box(300, 60 + 60 * n, 400, 40, 0.0, 1.0) for n in range(4)]
    found = find_boxes(
        heat(*lines, Box(600, 240, 40, 300, 0.0, 1.0), Box(60, 400, 24, 40, 0.0, 1.0)),
        (640, 480),
        0.3,
    )
    assert sorted(box.angle for box in found) == [0.0] * 5 + [90.0]


def test_specks_and_faint_regions_are_no_text() -> None:
    noise = np.zeros((480, 640), np.float32)
    noise[10:12, 10:12] = 0.9
    noise[100:140, 100:400] = 0.4
    assert find_boxes(noise, (640, 480), 0.3) == []


@pytest.mark.parametrize("angle", [0.0, 10.0, 90.0])
def test_a_crop_is_straight_whatever_the_angle_of_the_text(angle: float) -> None:
    box = Box(200, 200, 120, 30, angle, 1.0)
    rows, columns = np.mgrid[:400, :400]
    turn = math.radians(angle)
    along = (columns - 200) * math.cos(turn) + (rows - 200) * math.sin(turn)
    page = np.repeat((128 + along)[..., None], 3, 2).clip(0, 255).astype(np.uint8)
    crop = box.crop(page).astype(int)
    assert crop.shape == (30, 120, 3)
    assert np.abs(crop[15, :, 0] - (128 + np.arange(120) - 60)).max() <= 2


def test_the_polygon_starts_where_the_text_starts_and_goes_clockwise() -> None:
    assert Box(100, 50, 80, 20, 0.0, 1.0).polygon() == [60, 40, 140, 40, 140, 60, 60, 60]
