"""Reading pages with Florence-2, which writes each line and then the four corners around it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actors.images import ENOUGH, Picture, picture
from actors.stage import Device, Item, Model, Row
from actors.telling.teller import Florence
from actors.writing.generation import Written

PROMPT = "<OCR_WITH_REGION>"
"""What the model was trained to be asked for lines with their places; <OCR> asks for text alone."""

QUAD = re.compile(r"([^<]+)" + r"<loc_(\d+)>" * 8)
"""A line, and its corners x1 y1 ... x4 y4, in BINS-ths of the page."""

BINS = 1000

MARKS = re.compile(r"</?s>|<pad>")


class FlorencePages(Model):
    """A Florence-2 that reads whole pages at a fixed size."""

    def __init__(
        self, folder: Path, device: Device, max_pixels: int, max_new_tokens: int, prompt: str | None
    ) -> None:
        self._max_pixels, self._prompt = max_pixels, prompt or PROMPT
        settings = {"max_new_tokens": max_new_tokens, "num_beams": 1}
        self._teller = Florence(folder, device, "pil", settings)
        self._teller.generation.skips_marks = False  # places are marks too
        self.batching = self._teller.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per page."""
        return [[self._teller.item(self._page(row), self._prompt)] for row in rows]

    def _page(self, row: Row) -> Picture:
        side = self._teller.side
        return picture(row["image"], self._max_pixels, at_least=side and ENOUGH * side)

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Return what is written of each page."""
        return list(self._teller.tell(items))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Answer with the lines in the model's order, which is that of reading."""
        page = self._page(row)
        lines = lines_of(outputs[0], page.width, page.height)
        return {"text": "\n".join(line["text"] for line in lines), "lines": lines}


def lines_of(written: Written, width: int, height: int) -> list[Row]:
    """Return the lines that were written of a page of so many pixels; a line has no place where
    none was asked for. All have the page's score."""
    text = MARKS.sub("", written.text)
    found: list[Row] = [
        _line(match[1], [int(place) for place in match.groups()[1:]], width, height)
        for match in QUAD.finditer(text)
    ]
    if not found:
        found = [{"text": line, "polygon": None, "box": None} for line in text.splitlines()]
    lines = [{**one, "text": one["text"].strip(), "score": written.chance} for one in found]
    return [line for line in lines if line["text"]]


def _line(text: str, places: Sequence[int], width: int, height: int) -> Row:
    xs = [(place + 0.5) * width / BINS for place in places[::2]]
    ys = [(place + 0.5) * height / BINS for place in places[1::2]]
    corners = [value for point in zip(xs, ys, strict=True) for value in point]
    return {"text": text, "polygon": corners, "box": [min(xs), min(ys), max(xs), max(ys)]}
