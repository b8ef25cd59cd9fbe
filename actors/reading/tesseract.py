"""Reading by the program `tesseract`, where it is installed: pages in, words with places out.

Version 5.3 on the demo's 12 pages (`jobs/demo/documents.py`): 0 to 0.3 % of the characters wrong,
0.8 and 1.3 % on the form; 0.5 to 0.8 CPU-s a page.
"""

import csv
import io
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from actors.errors import RowRejected, StageFailed
from actors.images import decode
from actors.reading.boxes import Box
from actors.reading.lines import Read, page_columns
from actors.stage import Batching, Device, Item, Model, Row

WORD = "5"
"""Level of the table's rows that are words; those above them are pages, blocks and lines."""

MISSING = (
    "the program 'tesseract' is not installed here:  apt install tesseract-ocr\n"
    "  or let a model read:  options: {engine: model}"
)


class TesseractPages(Model):
    """The program, one page a time; it finds lines by itself, and tells each word's place."""

    batching = Batching("fixed", rows=1, budget=1)

    def __init__(
        self, device: Device, languages: str, layout: int, max_pixels: int, min_line_score: float
    ) -> None:
        # Its own threads would take cores that the stage was not given.
        self._command = ["env", f"OMP_THREAD_LIMIT={device.threads}", "tesseract"]
        self._settings = ["-l", languages, "--psm", str(layout)]
        self._max_pixels, self._min_line_score = max_pixels, min_line_score
        self._check(languages)

    def _check(self, languages: str) -> None:
        """Raise StageFailed unless the program is there, and knows the languages."""
        done = self._run("--list-langs")
        if done.returncode:
            raise StageFailed(MISSING)
        # The first line says where the languages lie.
        known = done.stdout.decode(errors="replace").splitlines()[1:]
        lacking = [one for one in languages.split("+") if one not in known]
        if lacking:
            raise StageFailed(
                f"tesseract has no language '{lacking[0]}':  apt install tesseract-ocr-{lacking[0]}"
                f"\n  it has: {', '.join(known)}"
            )

    def _run(self, *arguments: str, page: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        command = [*self._command, *arguments]
        try:
            return subprocess.run(command, input=page, capture_output=True, check=False)
        except FileNotFoundError as error:  # not even env
            raise StageFailed(MISSING) from error

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per page: its pixels, upright, as a file that the program reads."""
        return [[Item(_bitmap(decode(row["image"], self._max_pixels)))] for row in rows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Return each page's lines: boxes, and what stands in them."""
        return [self._lines(item.data) for item in items]

    def _lines(self, page: bytes) -> tuple[list[Box], list[Read]]:
        done = self._run("stdin", "stdout", *self._settings, "tsv", page=page)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise RowRejected("unreadable_page", f"tesseract says: {' '.join(said[-1:])}")
        return lines_of(done.stdout.decode(errors="replace"))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Put the lines in reading order."""
        boxes, reads = outputs[0]
        return page_columns(boxes, reads, self._min_line_score)


def lines_of(table: str) -> tuple[list[Box], list[Read]]:
    """Join the words of tesseract's table (TSV) to lines; a line's score is its words' mean."""
    lines: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    for word in csv.DictReader(io.StringIO(table), delimiter="\t", quoting=csv.QUOTE_NONE):
        if word["level"] == WORD and (word["text"] or "").strip():
            names = ("page_num", "block_num", "par_num", "line_num")
            lines[tuple(word[name] for name in names)].append(word)
    found = [_line(words) for words in lines.values()]
    return [box for box, _ in found], [read for _, read in found]


def _line(words: Sequence[dict[str, str]]) -> tuple[Box, Read]:
    edges = np.array([[float(w[n]) for n in ("left", "top", "width", "height")] for w in words])
    left, top = edges[:, :2].min(0)
    right, bottom = (edges[:, :2] + edges[:, 2:]).max(0)
    score = float(np.mean([float(word["conf"]) for word in words])) / 100
    box = Box(
        float(left + right) / 2,
        float(top + bottom) / 2,
        float(right - left),
        float(bottom - top),
        0.0,
        score,
    )
    return box, (" ".join(word["text"].strip() for word in words), score)


def _bitmap(page: Image.Image) -> bytes:
    """Return the pixels as a PPM file, which costs nothing to write or read."""
    file = io.BytesIO()
    page.save(file, "PPM")
    return file.getvalue()
