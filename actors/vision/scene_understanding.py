"""scene-understanding: what a picture shows, where in space, and how it lies to each other."""

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from actors.architecture import is_made_for, why_not
from actors.detections import BOX, PLACES, box_of, edges_within, score_of
from actors.errors import RowRejected
from actors.image_stage import ImageStage
from actors.images import Picture
from actors.seeing.depth_map import Map, depth_of
from actors.space.camera import Camera
from actors.space.relations import Sense, Thing, relations_of, thing_of
from actors.stage import (
    NO_MODEL,
    Batching,
    Columns,
    Defaults,
    Device,
    Item,
    Model,
    ModelFiles,
    Row,
    model_option,
    option,
)  # fmt: skip

if TYPE_CHECKING:
    from actors.seeing.depth import DepthViewer
    from actors.seeing.detectors import Chooser, Detector

OBJECT = pa.struct(
    [
        ("label", pa.string()),
        ("score", pa.float32()),
        ("box", BOX),
        ("nearness", pa.float32()),
        ("xyz", pa.list_(pa.float32())),
    ]
)
"""A thing; `xyz` in metres: right, down, away from the camera; null without metres."""

RELATION = pa.struct(
    [
        ("subject", pa.int32()),
        ("object", pa.int32()),
        ("relation", pa.string()),
        ("distance", pa.float32()),
    ]
)
"""How the subject lies to the object, both numbers of `objects`; distance in metres or null."""

MAP_SIDE = 640
"""Longest side of the map that depths are read off: a box's median needs no more."""


class SceneUnderstanding(ImageStage):
    """Says what a picture shows, where it is in space, and how things lie to each other.

    Things come from the column `detections`, or are found by `detector`; depths come from the
    columns of depth-estimation (`depth`, `depth_min`, `depth_max`, `depth_unit`), or from the
    model. A thing's depth is the median over the middle half of its box. `nearness` is 1 for the
    nearest and 0 for the farthest depth in the picture. In metres, only where depths are, `xyz`
    is behind the middle of the box, with a camera of `fov` or `focal`, and a relation's
    `distance` is between those places.

    Relations, from the camera's view; each pair is told once, of the surer thing, but on and
    inside of whichever it is: left of, right of: each one's middle lies beside the other's box.
    above, below: over or under it, and it does not stand on it. in front of, behind: nearer or
    farther by more than `depth_gap`, in the same columns of the picture. on: the lower edge lies
    in or just over the other's box, with half the width, as far away. inside: 90 % of the box
    lies in a larger one, as far away. near: within `near` metres, or, without metres, as far away
    and closer in the picture than half the smaller box's diagonal.
    """

    reads: ClassVar[Columns] = {
        **ImageStage.reads,
        "detections": PLACES,
        "depth": pa.binary(),
        "depth_min": pa.float32(),
        "depth_max": pa.float32(),
        "depth_unit": pa.string(),
    }
    optional_reads: ClassVar[frozenset[str]] = frozenset(reads) - {"image"}
    rounds: ClassVar[bool] = True
    models: ClassVar[Defaults] = Defaults(
        hub="depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf",
        licence="Apache-2.0",
        embedded=NO_MODEL,
    )

    detector: str | None = model_option(
        hub="PekingU/rtdetr_v2_r18vd",
        embedded="embedded:nanodet-g",
        help="The model that finds things, in rows without detections.",
    )
    detect: bool = option(
        True, "Find things in rows without detections; false if all rows have them."
    )
    threshold: float = option(0.5, "Things must score more.", ge=0, lt=1)
    max_objects: int = option(20, "Most things of a picture, the surest.", ge=1, le=200)
    max_relations: int = option(200, "Most relations of a picture.", ge=1, le=10_000)
    fov: float = option(60.0, "Angle that a picture's longer side spans, in degrees.", ge=5, le=170)
    focal: float | None = option(
        None, "Focal length in pixels of the files, if it is known; instead of fov.", gt=0
    )
    depth_gap: float = option(
        0.1, "Share of its distance by which a thing must be farther to be behind.", ge=0, lt=1
    )
    near: float = option(1.0, "Metres within which things are near.", gt=0)

    @property
    def writes(self) -> Columns:
        """The things, their relations, and whether they are in metres."""
        return {
            "objects": pa.list_(OBJECT),
            "relations": pa.list_(RELATION),
            "relations_truncated": pa.bool_(),
            "metric": pa.bool_(),
        }

    def model_options(
        self, config: Mapping[str, Any] | None
    ) -> list[tuple[str, Mapping[str, Any]]]:
        """The detector, where it is asked to work."""
        return super().model_options(config) if self.detect else []

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models of depth."""
        if is_made_for(config, "ForDepthEstimation"):
            return None
        return why_not("scene-understanding", "a ...ForDepthEstimation model", config)

    def wired(self, inputs: Collection[str], config: Mapping[str, Any] | None) -> str | None:
        """Things and depths must come from somewhere."""
        if not self.detect and "detections" not in inputs:
            return (
                "scene-understanding is told not to detect, and no column holds detections.\n"
                "  name it:  input: {detections: COLUMN}  or leave out  detect: false"
            )
        if config is None and "depth" not in inputs:
            return (
                "scene-understanding has no model of depth, and no column holds depths.\n"
                "  name a model:  model: org/name  or  model: ./folder\n"
                "  or put a stage before it that makes them:  - task: depth-estimation"
            )
        return None

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the models of depth and of things, as far as they are named."""
        from actors.seeing.depth import DepthViewer
        from actors.seeing.detectors import Chooser, load_detector

        viewer = detector = chooser = None
        if files.folder != ModelFiles.none().folder:
            viewer = DepthViewer(files.folder, device, self.image_backend)
        if "detector" in files.others:
            detector = load_detector(files.others["detector"], device, self.image_backend)
            chooser = Chooser(detector.labels, self.threshold)
        return SceneReader(self, viewer, detector, chooser)


class Parts(NamedTuple):
    """What is known of one picture."""

    size: tuple[int, int]
    depth: Map
    metric: bool
    found: list[Row]


class SceneReader(Model):
    """Reads scenes, with a model of depth and a detector, or from columns alone."""

    def __init__(
        self,
        stage: SceneUnderstanding,
        viewer: "DepthViewer | None",
        detector: "Detector | None",
        chooser: "Chooser | None",
    ) -> None:
        self.stage = stage
        self.viewer, self.detector, self.chooser = viewer, detector, chooser
        used = [model.batching for model in (viewer, detector) if model is not None]
        rows = min((one.rows for one in used), default=64)
        budget = min((one.budget for one in used), default=16_384)
        self.batching = Batching("shape", rows=rows, budget=budget)
        self.sense = Sense(stage.depth_gap, stage.near)

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """Per picture its size and what the row says; what the models are shown for the rest."""
        return [self._items(row) for row in rows]

    def _items(self, row: Row) -> list[Item]:
        from actors.seeing.depth import size_within

        sides = [model.side for model in (self.viewer, self.detector) if model is not None]
        largest = max(sides) if sides and None not in sides else None  # type: ignore[type-var]
        picture = self.stage.picture(row, largest)
        size, depth = (picture.width, picture.height), _depth_in(row)
        items = [Item(("given", (size, depth)), shape="given")]
        if depth is None:
            viewer = _named(self.viewer, "depth, and no model of depth is named")
            items.append(_kept("depth", viewer.item(picture, size_within(picture, MAP_SIDE))))
        if row.get("detections") is None:
            items.append(self._shown(picture))
        return items

    def _shown(self, picture: Picture) -> Item:
        detector = _named(self.detector, "detections, and no detector is named")
        return _kept("things", detector.item(picture))

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item its kind and what a model said: items of one kind only share a batch."""
        kind = items[0].data[0]
        inner = [item.data[1] for item in items]
        found: Sequence[Any] = inner
        if kind == "depth" and self.viewer is not None:
            found = self.viewer.maps(inner)
        elif kind == "things" and self.detector is not None and self.chooser is not None:
            chosen = [self.chooser.chosen(one) for one in self.detector.infer(inner)]
            found = [self.chooser.named(one, self.stage.max_objects) for one in chosen]
        return [(kind, one) for one in found]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Put things into space, and say how they lie."""
        parts = self._parts(row, dict(outputs))
        things = [self._thing(edges_within(one, *parts.size), parts) for one in parts.found]
        most = self.stage.max_relations
        relations = list(islice(relations_of(things, self.sense), most + 1))
        return {
            "objects": [
                _object(one, thing) for one, thing in zip(parts.found, things, strict=True)
            ],
            "relations": relations[:most],
            "relations_truncated": len(relations) > most,
            "metric": parts.metric,
        }

    def _parts(self, row: Row, said: Mapping[str, Any]) -> Parts:
        size, depth = said["given"]
        unit = row.get("depth_unit")
        if depth is None and self.viewer is not None:
            depth, unit = said["depth"], self.viewer.unit
        found = said["things"] if "things" in said else self._best(row["detections"])
        return Parts(size, depth, unit == "metres", found)

    def _best(self, detections: Sequence[Row]) -> list[Row]:
        """Return the surest detections; one without a score is sure."""
        scored = [(score_of(one), one) for one in detections]
        good = [pair for pair in scored if pair[0] > self.stage.threshold]
        ranked = sorted(good, key=lambda pair: -pair[0])
        return [one for _, one in ranked[: self.stage.max_objects]]

    def _thing(self, edges: list[float], parts: Parts) -> Thing:
        camera = Camera.of(*parts.size, self.stage.fov, self.stage.focal)
        span = (float(parts.depth.min()), float(parts.depth.max()))
        depth = middle_depth(parts.depth, edges, parts.size)
        return thing_of(edges, depth, span, camera, parts.metric)


def _depth_in(row: Row) -> Map | None:
    """Return the map that a row brings, if it does. Raises RowRejected (bad_depth)."""
    if row.get("depth") is None:
        return None
    return depth_of(row["depth"], row.get("depth_min"), row.get("depth_max"))


def _kept(kind: str, item: Item) -> Item:
    """Return an item with its kind, to share batches with its kind only."""
    return Item((kind, item), cost=item.cost, shape=(kind, item.shape))


def _named(model: Any, missing: str) -> Any:
    if model is None:
        raise RowRejected("null_input", f"the row has no {missing}")
    return model


def middle_depth(depth: Map, edges: Sequence[float], size: tuple[int, int]) -> float:
    """Return the median depth over the middle half of a box, in a map of any size of a picture of
    `size` (width, height)."""
    height, width = depth.shape
    scale = (width / size[0], height / size[1])
    columns, rows = (
        _middle(edges[n] * scale[n], edges[n + 2] * scale[n], most)
        for n, most in enumerate((width, height))
    )
    return float(np.median(depth[rows, columns]))


def _middle(low: float, high: float, most: int) -> slice:
    """Return the middle half of a stretch, one pixel at least, within 0..most."""
    quarter = (high - low) / 4
    first = min(max(int(low + quarter), 0), most - 1)
    return slice(first, max(first + 1, min(int(np.ceil(high - quarter)), most)))


def _object(one: Row, thing: Thing) -> Row:
    return {
        "label": one["label"],
        "score": one["score"],
        "box": box_of([thing.left, thing.top, thing.right, thing.bottom]),
        "nearness": thing.nearness,
        "xyz": list(thing.place) if thing.place else None,
    }
