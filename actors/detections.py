"""Things in pictures, named and placed: what finders of things answer, and which models find."""

from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec
from math import isfinite
from typing import Any

import pyarrow as pa

from actors.architecture import is_made_for, why_not
from actors.errors import RowRejected, nearest
from actors.stage import Row

BOX = pa.struct([(name, pa.float32()) for name in ("xmin", "ymin", "xmax", "ymax")])
"""Edges in pixels of the picture's file, held upright."""

DETECTIONS = pa.list_(
    pa.struct(
        {"label": pa.string(), "label_id": pa.int32(), "score": pa.float32(), "box": BOX},
    )
)
"""Things found in a picture, best first; `label_id` is the label's number in the model."""

PLACES = pa.list_(pa.struct({"label": pa.string(), "score": pa.float32(), "box": BOX}))
"""Of detections, what tasks read that begin with them."""

READERS_OF_TEXT = "pp_ocr"
"""How the families are called that find lines of text, and do not say what they find."""

LAYOUTS = "pp_doclayout"
"""Families with answers of their own, and image processors that need torchvision."""

GROUNDERS = {
    "grounding-dino": "dino",
    "mm-grounding-dino": "dino",
    "owlv2": "owl",
    "owlvit": "owl",
}
"""Families that find what phrases name -> how they take the phrases."""

ENDS = ".?"
"""Marks that end a phrase for Grounding DINO."""


def box_of(edges: Sequence[float]) -> Row:
    """Return a box with its names."""
    return dict(zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))


def named(labels: Sequence[str], found: Sequence[Any], most: int) -> list[Row]:
    """Return the first `most` as detections: `found` is arrays of label numbers, scores, edges."""
    few: Any = zip(*(values[:most].tolist() for values in found), strict=True)
    return [
        {"label": labels[n], "label_id": n, "score": score, "box": box_of(edges)}
        for n, score, edges in few
    ]


def edges_of(place: Any) -> list[float]:
    """Return the edges of a detection of a row: xmin, ymin, xmax, ymax.

    Raises RowRejected (no_box) where one is missing, not a number, or the box is empty.
    """
    box = (place or {}).get("box") or {}
    found = [box.get(name) for name in ("xmin", "ymin", "xmax", "ymax")]
    edges = [float(edge) for edge in found if edge is not None and isfinite(edge)]
    if len(edges) < 4:
        raise RowRejected("no_box", f"a detection has no box of four numbers: {place}")
    if edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise RowRejected("no_box", f"the box of a detection is empty: {box}")
    return edges


def edges_within(place: Any, width: int, height: int) -> list[float]:
    """Return the edges of a detection of a row, cut to a picture of so many pixels.

    Raises RowRejected (no_box) as `edges_of` does, and where none of the box is in the picture.
    """
    left, top, right, bottom = edges_of(place)
    cut = [max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))]
    if cut[0] >= cut[2] or cut[1] >= cut[3]:
        raise RowRejected(
            "no_box", f"a box lies outside the picture of {width} x {height}: {place['box']}"
        )
    return cut


def score_of(place: Any) -> float:
    """Return the score of a detection of a row; one without is sure: 1.

    Raises RowRejected: no_box for a null, not_finite for a score that is no number.
    """
    if place is None:
        raise RowRejected("no_box", "a detection is null")
    if place["score"] is None:
        return 1.0
    if not isfinite(place["score"]):
        raise RowRejected("not_finite", f"the score of a detection is {place['score']}")
    return float(place["score"])


def why_no_detector(task: str, config: Mapping[str, Any], family: str = "") -> str | None:
    """Say why a model does not find things, or None; `family` names the models to be preferred."""
    kind = str(config.get("model_type", ""))
    instead = family or "RT-DETR, RT-DETRv2, D-FINE, DETR, YOLOS"
    if not is_made_for(config, "ForObjectDetection") or kind.startswith(READERS_OF_TEXT):
        return why_not(
            task, f"a ...ForObjectDetection that names what it finds ({instead})", config
        )
    if kind.startswith(LAYOUTS):
        return f"the image processor of {kind} needs torchvision; these do not: {instead}"
    backbone = config.get("backbone_config") or {}
    timm = config.get("use_timm_backbone") or backbone.get("model_type") == "timm_backbone"
    if timm and find_spec("timm") is None:
        return (
            "the model's backbone needs the package timm, which is not installed here; take the"
            " revision of the model that does without, often called no_timm, or RT-DETR, RT-DETRv2"
            " or D-FINE"
        )
    return None


def why_unknown(labels: Collection[str] | None, config: Mapping[str, Any]) -> str | None:
    """Say which of `labels` a model of this config.json does not know, or None."""
    known = list((config.get("id2label") or {}).values())
    for label in labels or ():
        if known and label not in known:
            shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
            return f"it finds no '{label}'{nearest(label, known)}; it finds: {shown}"
    return None
