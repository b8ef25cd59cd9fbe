"""mask-generation: the outline of whatever is marked in a picture, or of everything in it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from actors.architecture import is_made_for, why_not
from actors.detections import BOX, edges_of
from actors.errors import RowRejected
from actors.image_stage import ImageStage
from actors.seeing.masks import RLE
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option

if TYPE_CHECKING:
    from torch import Tensor

    from actors.seeing.prompted import Found, Prompter, Prompts

POINT = pa.struct([("x", pa.float32()), ("y", pa.float32()), ("positive", pa.bool_())])
"""A place in pixels of the upright picture, inside the object, or outside (positive: false)."""

MASK = pa.struct(
    [
        ("score", pa.float32()),
        ("stability", pa.float32()),
        ("area", pa.int64()),
        ("box", BOX),
        ("prompt", pa.int32()),
        ("rle", RLE),
        ("mask", pa.binary()),
    ]
)
"""A mask; `prompt` counts the row's points, its boxes and its detections, or the grid's points."""

THINGS = pa.list_(pa.struct({"box": BOX}))
"""What is read of things that a stage before has found: detections, regions of a page, faults."""


class MaskGeneration(ImageStage):
    """Outlines what points or boxes mark in a picture, or everything in it (Segment Anything).

    `points` and `boxes` are columns of prompts, in pixels of the upright picture; `detections` are
    those of another stage, of which the boxes are used. A pipeline that has none of them, or a row
    where all are null, asks for everything: points on a grid mark things,
    poor and unstable masks are left out, and of masks whose boxes overlap the best is kept, as in
    transformers' pipeline without crops. Marked objects are answered in their order, everything
    best first, `max_masks` at most.

    `score` is the IoU with the right mask that the model expects, `stability` the share of a mask
    that stays when the cutoff is moved; areas and boxes are in pixels. `rle` is COCO's run-length
    encoding. Prompts outside the picture are rejected (bad_prompt),
    and boxes without an inside (no_box). A picture is looked at once,
    then asked `prompts_at_once` at a time. SAM 2 and 3 need torchvision and are refused.
    """

    reads: ClassVar[Columns] = {
        **ImageStage.reads,
        "points": pa.list_(POINT),
        "boxes": pa.list_(BOX),
        "detections": THINGS,
    }
    optional_reads: ClassVar[frozenset[str]] = frozenset(reads) - {"image"}
    rounds: ClassVar[bool] = True
    models: ClassVar[Defaults] = Defaults(hub="facebook/sam-vit-base", licence="Apache-2.0")

    points_mark: Literal["each", "together"] = option(
        "each", "Whether each point marks an object, or a row's points mark one together."
    )
    choose: Literal["best", "all", "one"] = option(
        "best",
        "For a prompt the model proposes three masks (whole, part, smaller part): the best, all,"
        " or instead the one that it makes for clear prompts.",
    )
    masks: Literal["rle", "png", "none"] = option("rle", "How the pixels of each mask are written.")
    points_per_side: int = option(32, "Points along a side of the grid.", ge=1, le=128)
    min_score: float = option(0.88, "Least score, of everything.", ge=0, le=1)
    min_stability: float = option(0.95, "Least stability, of everything.", ge=0, le=1)
    max_overlap: float = option(0.7, "Most overlap (IoU) of two boxes, of everything.", ge=0, le=1)
    max_masks: int = option(200, "Most masks of a picture.", ge=1, le=10_000)
    prompts_at_once: int = option(64, "Prompts that are answered together.", ge=1, le=4_096)

    @property
    def writes(self) -> Columns:
        """The masks, and how many were left out."""
        return {"masks": pa.list_(MASK), "masks_left_out": pa.int32()}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept Segment Anything 1."""
        if is_made_for(config, "SamModel") and config.get("model_type") == "sam":
            return None
        found = why_not("mask-generation", "a SamModel (Segment Anything 1)", config)
        if str(config.get("model_type", "")).startswith(("sam2", "sam3")):
            return f"{found}; the image processors of SAM 2 and 3 need torchvision"
        return found

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model."""
        from actors.seeing.prompted import Prompter

        return Outliner(
            self, Prompter(files.folder, device, self.image_backend, self.prompts_at_once)
        )


class Outliner(Model):
    """A loaded Segment Anything model."""

    def __init__(self, stage: MaskGeneration, prompter: "Prompter") -> None:
        from actors.seeing.prompted import Sieve

        self.stage = stage
        self.prompter = prompter
        self.batching = prompter.batching
        self.sieve = Sieve(stage.min_score, stage.min_stability, stage.max_overlap)

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per picture, with its prompts."""
        return [[self._item(row)] for row in rows]

    def _item(self, row: Row) -> Item:
        picture = self.stage.picture(row, self.prompter.side)
        return self.prompter.item(picture, self._prompts(row, picture.width, picture.height))

    def _prompts(self, row: Row, width: int, height: int) -> "Prompts | None":
        from actors.seeing.prompted import Prompts

        points, marked = row.get("points"), boxes_of(row)
        if points is None and marked is None:
            return None
        together = self.stage.points_mark == "together"
        places, labels = points_of(points or [], together)
        corners = np.array(marked or [], dtype=np.float32).reshape(-1, 4)
        found = Prompts(places, labels, corners)
        _check_inside(found, width, height)
        return found

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per picture its columns."""
        looks = self.prompter.looks(items)
        return [
            self._columns(self._found(look, item)) for look, item in zip(looks, items, strict=True)
        ]

    def _found(self, look: "Tensor", item: Item) -> "list[Found]":
        if item.data[1][-1] is None:
            side = self.stage.points_per_side
            return self.prompter.everything(look, item, side, self.sieve)
        return self.prompter.marked(look, item, self.stage.choose)

    def _columns(self, found: "list[Found]") -> Row:
        kept = found[: self.stage.max_masks]
        return {
            "masks": [self._written(one) for one in kept],
            "masks_left_out": len(found) - len(kept),
        }

    def _written(self, one: "Found") -> Row:
        return {
            "score": min(1.0, max(0.0, one.score)),
            "stability": one.stability,
            "area": one.mask.area,
            "box": one.mask.box,
            "prompt": one.prompt,
            "rle": one.mask.rle() if self.stage.masks == "rle" else None,
            "mask": one.mask.png() if self.stage.masks == "png" else None,
        }

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The only item's columns."""
        return dict(outputs[0])


def points_of(points: Sequence[Row], together: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return places (objects, points, 2) and labels (objects, points), 1 inside and 0 outside.

    Raises RowRejected (bad_prompt) where a point is null, or an object has only points outside.
    """
    if any(point is None for point in points):
        raise RowRejected("bad_prompt", "a point is null")
    places = np.array([[point["x"], point["y"]] for point in points], dtype=np.float32)
    labels = np.array([point.get("positive") is not False for point in points], dtype=np.int64)
    shape = (1, -1) if together and points else (-1, 1)
    labels = labels.reshape(shape)
    if not labels.any(axis=1).all():
        raise RowRejected("bad_prompt", "an object is marked only by points outside it")
    return places.reshape(*labels.shape, 2), labels


def boxes_of(row: Row) -> list[list[float]] | None:
    """Return the edges of a row's boxes and of its detections, or None where it has neither.

    Raises RowRejected (no_box) for one without four numbers, or with no inside.
    """
    boxes, detections = row.get("boxes"), row.get("detections")
    if boxes is None and detections is None:
        return None
    return [edges_of(place) for place in [*({"box": b} for b in boxes or []), *(detections or [])]]


def _check_inside(prompts: "Prompts", width: int, height: int) -> None:
    """Raise RowRejected (bad_prompt) where a prompt is not in the picture."""
    places = np.concatenate([prompts.points.reshape(-1, 2), prompts.boxes.reshape(-1, 2)])
    inside = (places >= 0).all(axis=1) & (places <= [width, height]).all(axis=1)
    if not inside.all():
        x, y = places[~inside][0]
        raise RowRejected("bad_prompt", f"{x:g}, {y:g} is not in a picture of {width} x {height}")
