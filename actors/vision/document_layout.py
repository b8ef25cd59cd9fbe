"""document-layout: the regions of a page, and the text in each."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from actors.detections import BOX, box_of, why_no_detector
from actors.errors import RowRejected
from actors.image_stage import ImageStage
from actors.reading.lines import LINES, has_place
from actors.reading.regions import distinct, owner, reading_order
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option

if TYPE_CHECKING:
    from actors.seeing.detectors import Detector

REGIONS = pa.list_(
    pa.struct(
        {
            "label": pa.string(),
            "score": pa.float32(),
            "box": BOX,
            "order": pa.int32(),
            "text": pa.string(),
        }
    )
)
PARTS = {"text", "plain text", "paragraph", "title", "table", "figure", "picture", "list"}
"""Labels, in small letters, of which every model of pages knows one."""


class DocumentLayout(ImageStage):
    """Finds the regions of a page, such as titles, paragraphs, tables, figures, and their text.

    `regions` come in reading order, `order` counting from 0: columns from left to right, each from
    the top; boxes are in pixels of the page's file held upright. Of regions that lie on each
    other, the better one is answered. Where the row brings the `lines` that OCR read, each belongs
    to the region that holds the most of it, at least half: a region's `text` is its lines, one
    below the other, and `outside_text` those that are in no region; without lines both are null.
    Lines that have no place are rejected (no_box). Detectors made for pages work, such as Docling's
    Heron or DETR and YOLOS trained on DocLayNet; PP-DocLayout does not, its image processor needs
    torchvision.
    """

    reads: ClassVar[Columns] = {"image": pa.binary(), "lines": LINES}
    optional_reads: ClassVar[frozenset[str]] = frozenset({"lines"})
    models: ClassVar[Defaults] = Defaults(
        hub="docling-project/docling-layout-heron",
        licence="Apache-2.0",
        embedded="embedded:picodet-layout",
    )

    threshold: float = option(0.4, "Regions must score more.", ge=0, lt=1)
    overlap: float = option(
        0.5, "Most of two regions' area that both may have; of more, the better stays.", ge=0, le=1
    )
    max_regions: int = option(300, "Most regions of a page, the best.", ge=1, le=2_000)

    @property
    def writes(self) -> Columns:
        """The regions in reading order, and the text outside of them."""
        return {"regions": REGIONS, "outside_text": pa.string()}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept detectors of the parts of pages."""
        problem = why_no_detector("document-layout", config, "RT-DETRv2 of Docling, DETR, YOLOS")
        known = [str(name) for name in (config.get("id2label") or {}).values()]
        if problem or not known or PARTS & {name.lower() for name in known}:
            return problem
        shown = ", ".join(known[:5])
        return f"document-layout needs a model of pages; this one finds {shown}..."

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the detector."""
        from actors.seeing.detectors import load_detector

        return RegionFinder(self, load_detector(files.folder, device, self.image_backend))


class RegionFinder(Model):
    """A loaded detector of the parts of pages."""

    def __init__(self, stage: DocumentLayout, detector: "Detector") -> None:
        self.stage = stage
        self.detector = detector
        self.batching = detector.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per page."""
        return [[self._item(row)] for row in rows]

    def _item(self, row: Row) -> Item:
        item = self.detector.item(self.stage.picture(row, self.detector.side))
        _check_lines(row)
        return item

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per page its regions in reading order."""
        return [self._kept(*found) for found in self.detector.infer(items)]

    def _kept(self, *found: np.ndarray) -> tuple[np.ndarray, ...]:
        """Labels, scores and boxes of the regions that are answered."""
        sure = tuple(values[found[1] > self.stage.threshold] for values in found)
        best = distinct(sure[2], self.stage.overlap)[: self.stage.max_regions]
        order = best[reading_order(sure[2][best])]
        return tuple(values[order] for values in sure)

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Name the regions and give them their text."""
        ((labels, scores, boxes),) = outputs
        texts, outside = _texts(row.get("lines"), boxes)
        both = zip(labels.tolist(), scores.tolist(), boxes.tolist(), texts, strict=True)
        regions = [
            {"label": self.detector.labels[n], "score": score, "box": box_of(box), "order": order,
             "text": text}
            for order, (n, score, box, text) in enumerate(both)
        ]  # fmt: skip
        return {"regions": regions, "outside_text": outside}


def _check_lines(row: Row) -> None:
    """Raise RowRejected for lines that cannot be placed."""
    if "lines" not in row:
        return
    if row["lines"] is None:
        raise RowRejected("null_input", "column 'lines' is null, expected a list")
    if not all(has_place(line) for line in row["lines"]):
        raise RowRejected("no_box", "a line has no place; models that read whole pages give none")


def _texts(
    lines: Sequence[Row] | None, boxes: np.ndarray
) -> tuple[list[str] | list[None], str | None]:
    """Return the text of each region, and that of no region; without lines, nulls."""
    if lines is None:
        return [None] * len(boxes), None
    texts: list[list[str]] = [[] for _ in range(len(boxes) + 1)]
    for line in lines:
        index = owner(line["box"], boxes)
        texts[-1 if index is None else index].append(line["text"] or "")
    *inside, outside = ("\n".join(found) for found in texts)
    return inside, outside
