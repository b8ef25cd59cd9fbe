"""What the stage answers for a page: its text, and its lines in reading order."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa

from actors.reading.boxes import Box
from actors.reading.order import reading_order
from actors.stage import Row

LINES = pa.list_(
    pa.struct(
        {
            "text": pa.string(),
            "score": pa.float32(),
            "polygon": pa.list_(pa.float32()),
            "box": pa.list_(pa.float32()),
        }
    )
)
"""score 0..1; polygon x1 y1 ... x4 y4 and box x1 y1 x2 y2 in pixels of the upright page; both null
where the model does not say where it reads."""

CELL_GAP = 1.0
"""Times the height of a line: cells are parted by more, words by a third of it. With a tab between
cells, named entities of the demo's invoice and form come out right more often: F1 0.71 to 0.85 and
0.67 to 0.78."""

Read = tuple[str, float]
"""A line's text and score."""


def has_place(line: Mapping[str, Any] | None) -> bool:
    """Say whether a line of a row has a box: four finite numbers, its edges not the wrong way
    round."""
    box = (line or {}).get("box")
    if (
        box is None
        or len(box) != 4
        or not all(edge is not None and math.isfinite(edge) for edge in box)
    ):
        return False
    return bool(box[0] <= box[2] and box[1] <= box[3])


def page_columns(boxes: Sequence[Box], reads: Sequence[Read], min_score: float) -> Row:
    """Join the lines that say something.

    A line break ends a row, an empty line a paragraph, and a tab stands between the cells of a row.
    """
    pairs = zip(boxes, reads, strict=True)
    kept = [(box, read) for box, read in pairs if read[0].strip() and read[1] >= min_score]
    order = reading_order([box for box, _ in kept])
    text = "\n\n".join("\n".join(_row([kept[i] for i in row]) for row in rows) for rows in order)
    lines = [_line(*kept[i]) for rows in order for row in rows for i in row]
    return {"text": text, "lines": lines}


def _row(cells: Sequence[tuple[Box, Read]]) -> str:
    """Join boxes that stand side by side."""
    text = cells[0][1][0].strip()
    for (left, _), (right, read) in pairwise(cells):
        gap = math.dist(left.polygon()[2:4], right.polygon()[:2])
        text += ("\t" if gap > CELL_GAP * left.height else " ") + read[0].strip()
    return text


def _line(box: Box, read: Read) -> Row:
    polygon = box.polygon()
    xs, ys = polygon[::2], polygon[1::2]
    edges = [min(xs), min(ys), max(xs), max(ys)]
    return {"text": read[0].strip(), "score": read[1], "polygon": polygon, "box": edges}


def unplaced_columns(read: Read) -> Row:
    """Answer for a model that reads a page at once: its lines have the page's score, no place."""
    text, score = read
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    places = {"score": score, "polygon": None, "box": None}
    return {"text": text, "lines": [{"text": line, **places} for line in lines]}
