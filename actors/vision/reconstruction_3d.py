"""3d-reconstruction: points in space, from one picture with a model of depth, or from several."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from actors.architecture import is_made_for, why_not
from actors.errors import RowRejected
from actors.image_stage import ImageStage
from actors.images import Picture
from actors.stage import (
    NO_MODEL,
    Columns,
    Defaults,
    Device,
    Item,
    Model,
    ModelFiles,
    Row,
    option,
)  # fmt: skip

if TYPE_CHECKING:
    from actors.seeing.depth import DepthViewer
    from actors.seeing.matches import PairMatcher
    from actors.space.scene import Scene

CAMERA = pa.struct(
    [
        ("index", pa.int32()),
        ("registered", pa.bool_()),
        ("rotation", pa.list_(pa.float32())),
        ("translation", pa.list_(pa.float32())),
        ("focal", pa.float32()),
    ]
)
"""A view: p of the world is rotation (nine numbers, row by row) @ p + translation in its axes."""

PAIR = pa.struct([(name, pa.int32()) for name in ("first", "second", "count")])


class Reconstruction3D(ImageStage):
    """Rebuilds what pictures show as coloured points in space, and says where the cameras stood.

    One picture a row (`image`) needs a model of depth, several views a row (`images`, a list of
    files) a model that matches pictures, or none at all (`model: none`: SIFT). `points` is a
    binary PLY file, x to the right, y down, z away from the first placed camera, in `unit`:
    metres; "relative" (a model without scale: the nearest is at 1, the farthest at 10); or "step"
    (several views: the way between the first two placed cameras is 1, as no picture tells scale).

    Cameras are pinholes without distortion, all of one field of view (`fov`, or `focal` in pixels
    of the files): a wrong one bends the scene. Views are matched in pairs, the best pair is placed
    by its essential matrix, the others by the points that they know (PnP), and all are adjusted
    together; a view that shares too little is not `registered`. `matches` counts the matches of
    each pair that fit one camera move; `reprojection_error` is their mean miss in pixels, null
    for one picture. Flat scenes, and cameras that only turn, cannot be told apart from others.

    A source of list<binary> columns makes rows of several views: a Parquet file with one list of
    files a row. Rows are rejected with fewer than two views (too_few_views), more than `max_views`
    (too_many_views), without enough in common (too_few_matches) or seen from almost one place
    (too_little_parallax).
    """

    aliases: ClassVar[tuple[str, ...]] = ("3d-reconstruction",)
    reads: ClassVar[Columns] = {"image": pa.binary(), "images": pa.list_(pa.binary())}
    optional_reads: ClassVar[frozenset[str]] = frozenset(reads)
    models: ClassVar[Defaults] = Defaults(
        hub="depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf",
        licence="Apache-2.0",
        embedded=NO_MODEL,
    )

    fov: float = option(60.0, "Angle that a picture's longer side spans, in degrees.", ge=5, le=170)
    focal: float | None = option(
        None, "Focal length in pixels of the files, if it is known; instead of fov.", gt=0
    )
    max_points: int = option(100_000, "Most points of one picture.", ge=1, le=10_000_000)
    max_views: int = option(20, "Most views of a row.", ge=2, le=200)
    reach: int = option(5, "Each view is matched with so many that follow it.", ge=1, le=200)
    max_keypoints: int = option(4_000, "Points of each view that SIFT compares.", ge=16, le=20_000)
    match_threshold: float = option(0.2, "Matches must score more.", ge=0, lt=1)
    tolerance: float = option(2.0, "Pixels by which a match may miss and still fit.", gt=0, le=100)

    @property
    def writes(self) -> Columns:
        """The points, the cameras, and how well they agree."""
        return {
            "points": pa.binary(),
            "n_points": pa.int32(),
            "unit": pa.string(),
            "cameras": pa.list_(CAMERA),
            "matches": pa.list_(PAIR),
            "reprojection_error": pa.float32(),
        }

    def wired(self, inputs: Collection[str], config: Mapping[str, Any] | None) -> str | None:
        """The input that the model is for must be there; without a model, the views."""
        deep = config is not None and is_made_for(config, "ForDepthEstimation")
        needed = "image" if deep else "images"
        if needed in inputs:
            return None
        return (
            f"3d-reconstruction reads column '{needed}', and there is none.\n"
            "  name it:  input: {image: COLUMN}  for a model of depth,  input: {images: COLUMN}"
            f"  for several views a row (model: {NO_MODEL}, or one that matches pictures)"
        )

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models of depth, for one picture, and of matches, for several."""
        if is_made_for(config, "ForDepthEstimation", "ForKeypointMatching"):
            return None
        needed = f"a ...ForDepthEstimation, a ...ForKeypointMatching, or  model: {NO_MODEL}"
        return why_not("3d-reconstruction", needed, config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model of depth, or what matches."""
        from transformers import AutoConfig

        from actors.seeing.depth import DepthViewer
        from actors.seeing.pair_matcher import load_pair_matcher

        folder = None if files == ModelFiles.none() else files.folder
        if folder is not None:
            config = AutoConfig.from_pretrained(folder, local_files_only=True).to_dict()
            if is_made_for(config, "ForDepthEstimation"):
                return OneView(self, DepthViewer(folder, device, self.image_backend))
        return ManyViews(
            self,
            load_pair_matcher(
                folder, device, self.match_threshold, self.max_keypoints, self.image_backend
            ),
        )


class OneView(Model):
    """Points of one picture, as far as a model of depth says."""

    def __init__(self, stage: Reconstruction3D, viewer: "DepthViewer") -> None:
        self.stage = stage
        self.viewer = viewer
        self.batching = viewer.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per picture, with its colours at the points."""
        return [[self._item(row)] for row in rows]

    def _item(self, row: Row) -> Item:
        if row.get("image") is None:
            raise RowRejected("null_input", "the row has no image, which a model of depth needs")
        picture = self.stage.picture(row, self.viewer.side)
        many = picture.width * picture.height
        scale = min(1.0, (self.stage.max_points / many) ** 0.5)
        height, width = (max(1, int(side * scale)) for side in (picture.height, picture.width))
        item = self.viewer.item(picture, (height, width))
        colours = np.asarray(picture.image.resize((width, height))).reshape(-1, 3)
        whole = (picture.width, picture.height)
        return Item((item, colours, whole), cost=item.cost, shape=item.shape)

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per picture its columns."""
        maps = self.viewer.maps([item.data[0] for item in items])
        return [
            self._columns(depth, *item.data[1:]) for depth, item in zip(maps, items, strict=True)
        ]

    def _columns(self, depth: np.ndarray, colours: np.ndarray, size: tuple[int, int]) -> Row:
        from actors.space.camera import Camera
        from actors.space.cloud import ply_of

        metric = self.viewer.unit == "metres"
        camera = Camera.of(*size, self.stage.fov, self.stage.focal)
        points = camera.points(depth if metric else distances_of(depth))
        ahead = points[:, 2] > 0
        return {
            "points": ply_of(points[ahead], colours[ahead]),
            "n_points": int(ahead.sum()),
            "unit": "metres" if metric else "relative",
            "cameras": [_camera(0, np.eye(3), np.zeros(3), camera.focal)],
            "matches": [],
            "reprojection_error": None,
        }

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The only item's columns."""
        return dict(outputs[0])


def distances_of(nearness: np.ndarray) -> np.ndarray:
    """Return distances for a relative inverse depth: 1 for the nearest, 10 for the farthest."""
    low, high = float(nearness.min()), float(nearness.max())
    share = (nearness - low) / (high - low) if high > low else np.ones_like(nearness)
    found: np.ndarray = 1 / (0.1 + 0.9 * share)
    return found


class ManyViews(Model):
    """Points that several views share."""

    def __init__(self, stage: Reconstruction3D, matcher: "PairMatcher") -> None:
        self.stage = stage
        self.matcher = matcher
        self.batching = matcher.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per pair of views that are near in the list."""
        return [self._items(row) for row in rows]

    def _items(self, row: Row) -> list[Item]:
        pictures = self._pictures(row.get("images"))
        shown = [self.matcher.show(picture) for picture in pictures]
        sizes = [(picture.width, picture.height) for picture in pictures]
        pairs = [
            (first, second)
            for first in range(len(pictures))
            for second in range(first + 1, min(len(pictures), first + 1 + self.stage.reach))
        ]
        return [
            Item((self.matcher.item(shown[a], shown[b]), (a, b), sizes, pictures[a].image))
            for a, b in pairs
        ]

    def _pictures(self, images: Sequence[Any] | None) -> list[Picture]:
        if images is None:
            raise RowRejected("null_input", "the row has no images, a list of views")
        if len(images) < 2:
            raise RowRejected("too_few_views", f"{len(images)} views; two are needed")
        if len(images) > self.stage.max_views:
            raise RowRejected(
                "too_many_views", f"{len(images)} views; {self.stage.max_views} at most (max_views)"
            )
        return [self.stage.picture({"image": data}, self.matcher.side) for data in images]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per pair which views, what they share, and the views' sizes."""
        found = self.matcher.match([item.data[0] for item in items])
        return [
            (pair, _shared(matches.points, matches.others, image, sizes[pair[0]]), sizes)
            for matches, (_, pair, sizes, image) in zip(
                found, (item.data for item in items), strict=True
            )
        ]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Join the pairs into a scene."""
        from actors.space.camera import Camera
        from actors.space.scene import scene_of

        sizes = outputs[0][2]
        fov, focal = self.stage.fov, self.stage.focal
        cameras = [Camera.of(width, height, fov, focal) for width, height in sizes]
        pairs = {pair: shared for pair, shared, _ in outputs}
        found = scene_of(cameras, pairs, self.stage.tolerance)
        return _columns_of(found, [camera.focal for camera in cameras])


def _shared(points: np.ndarray, others: np.ndarray, image: Any, size: tuple[int, int]) -> Any:
    """Return matches with the colours of a decoded picture, which may be smaller than its file."""
    from actors.space.tracks import Shared

    pixels = np.asarray(image)
    scale = np.array([image.width / size[0], image.height / size[1]])
    places = np.rint((points + 0.5) * scale - 0.5).astype(int)
    x, y = np.clip(places, 0, [image.width - 1, image.height - 1]).T
    return Shared(points, others, pixels[y, x])


def _columns_of(scene: "Scene", focals: Sequence[float]) -> Row:
    from actors.space.cloud import ply_of

    cameras = [
        _camera(n, pose and pose.turn, pose and pose.shift, focal)
        for n, (pose, focal) in enumerate(zip(scene.poses, focals, strict=True))
    ]
    matches = [{"first": a, "second": b, "count": n} for (a, b), n in scene.matches.items()]
    return {
        "points": ply_of(scene.points, scene.colours),
        "n_points": len(scene.points),
        "unit": "step",
        "cameras": cameras,
        "matches": matches,
        "reprojection_error": scene.error,
    }


def _camera(index: int, turn: np.ndarray | None, shift: np.ndarray | None, focal: float) -> Row:
    placed = turn is not None and shift is not None
    return {
        "index": index,
        "registered": placed,
        "rotation": None if turn is None else turn.ravel().tolist(),
        "translation": None if shift is None else shift.tolist(),
        "focal": focal,
    }
