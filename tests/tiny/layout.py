"""A tiny model that finds the parts of a page, and pages with lines that OCR read."""

from pathlib import Path

from tests.tiny.case import Case, Row
from tests.tiny.detect import rt_detr_v2
from tests.tiny.seeing import NO_PICTURES, PICTURES

REGIONS = ("title", "text", "table", "figure")


def line(text: str, *box: float | None) -> Row:
    """A line as OCR gives it; without a box, as a model gives it that reads whole pages."""
    return {"text": text, "score": 0.9, "polygon": None, "box": list(box) or None}


LINES = [
    line("Report", 20, 5, 60, 15),
    line("It rained.", 10, 25, 80, 35),
    line("Far away", 900, 900, 950, 910),
]


def pages(folder: Path) -> Path:
    """A detector of REGIONS."""
    return rt_detr_v2(folder, REGIONS)


GOOD: list[Row] = [{**row, "lines": LINES[: n + 1]} for n, row in enumerate(PICTURES)]
BAD = {
    **{reason: {**row, "lines": LINES} for reason, row in NO_PICTURES.items()},
    "no_box": {**PICTURES[0], "lines": [line("nowhere")]},
}
CASES: dict[str, Case] = {"document-layout": Case(pages, GOOD, BAD, {"threshold": 0.2})}
