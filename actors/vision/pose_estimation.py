"""pose-estimation: the persons of a picture, and where their joints are."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa

from actors.architecture import is_made_for, why_not
from actors.detections import BOX, PLACES, box_of, edges_within, score_of
from actors.errors import RowRejected
from actors.image_stage import ImageStage
from actors.stage import (
    Columns,
    Defaults,
    Device,
    Item,
    Model,
    ModelFiles,
    Pass,
    Row,
    model_option,
    option,
)  # fmt: skip

if TYPE_CHECKING:
    from actors.seeing.detectors import Chooser, Detector
    from actors.seeing.poses import Poser

KEYPOINTS = pa.list_(
    pa.struct([("name", pa.string()), *((n, pa.float32()) for n in ("x", "y", "score"))])
)
PERSONS = pa.list_(pa.struct({"box": BOX, "score": pa.float32(), "keypoints": KEYPOINTS}))
IMAGE: Columns = {"image": pa.binary()}


class PoseEstimation(ImageStage):
    """Finds the persons of a picture, and where their joints are.

    Who is a person is found by a detector; or by a stage before, with `persons_from: detections`,
    whose `detections` the row brings; or the picture is one person: `persons_from: picture`.
    `persons` are the best `max_persons`, the surest first, each with all joints that the model
    knows, in its order; `score` is the detector's (null for a whole picture), those of joints how
    sure the model is of each. Places are in pixels of the picture's file held upright; a joint may
    lie outside it, and joints that the picture does not show are answered too, mostly with low
    scores. `person_count` says how many there were; a picture without any has an empty list.
    Detections without a box in the picture are rejected (no_box); boxes are cut to it.
    """

    reads: ClassVar[Columns] = IMAGE
    rounds: ClassVar[bool] = True
    models: ClassVar[Defaults] = Defaults(
        hub="usyd-community/vitpose-base-simple",
        licence="Apache-2.0",
        embedded="embedded:movenet-lightning",
    )

    persons_from: Literal["detector", "detections", "picture"] = option(
        "detector", "What says where persons are: a detector, the row's detections, the picture."
    )
    detector: str | None = model_option(
        hub="PekingU/rtdetr_v2_r18vd",
        embedded="embedded:nanodet-g",
        help="Model of object-detection that finds persons, for `persons_from: detector`.",
    )
    label: str = option("person", "What the detector, or the detections, call a person.")
    threshold: float = option(0.5, "Persons must score more.", ge=0, lt=1)
    max_persons: int = option(50, "Most persons of a picture, the best.", ge=1, le=500)
    expert: int = option(
        0, "Kind of pose, for ViTPose++ models; 0 is COCO's 17 joints of people.", ge=0, le=20
    )

    @property
    def writes(self) -> Columns:
        """The persons, the surest first, and how many there were."""
        return {"persons": PERSONS, "person_count": pa.int32()}

    def inputs(self, config: Mapping[str, Any] | None) -> Columns:
        """The picture, and detections where they say who is a person."""
        return {**IMAGE, "detections": PLACES} if self.persons_from == "detections" else IMAGE

    def model_options(
        self, config: Mapping[str, Any] | None
    ) -> list[tuple[str, Mapping[str, Any]]]:
        """A detector only where one is used."""
        return super().model_options(config) if self.persons_from == "detector" else []

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models of poses."""
        if is_made_for(config, "ForPoseEstimation"):
            return None
        return why_not("pose-estimation", "a ...ForPoseEstimation (ViTPose, MoveNet)", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model of poses, and the detector where one is used."""
        from actors.seeing.detectors import Chooser, load_detector
        from actors.seeing.poses import load_poser

        poser = load_poser(files.folder, device, self.image_backend, self.expert)
        if self.persons_from != "detector":
            return Poses(PersonReader(self, poser))
        detector = load_detector(files.others["detector"], device, self.image_backend)
        chooser = Chooser(detector.labels, self.threshold, [self.label])
        return Poses(PersonFinder(self, detector, chooser), PersonReader(self, poser))


class Poses(Model):
    """Finds persons where that is asked, and then their joints."""

    def __init__(self, *passes: Pass) -> None:
        self._passes = passes

    @property
    def passes(self) -> Sequence[Pass]:
        """Find, then look at each."""
        return self._passes


class PersonFinder(Pass):
    """A detector; it gives the row `places`: score and box of each person, the surest first."""

    def __init__(self, stage: PoseEstimation, detector: "Detector", chooser: "Chooser") -> None:
        self.stage, self.detector, self.chooser = stage, detector, chooser
        self.batching = detector.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per picture."""
        side = self.detector.side
        return [[self.detector.item(self.stage.picture(row, side))] for row in rows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per picture its persons."""
        return [self.chooser.chosen(found) for found in self.detector.infer(items)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Add the places of persons."""
        (found,) = outputs
        both = zip(found.scores.tolist(), found.boxes.tolist(), strict=True)
        return {**row, "places": [(score, {"box": box_of(box)}) for score, box in both]}


class PersonReader(Pass):
    """A model of poses."""

    def __init__(self, stage: PoseEstimation, poser: "Poser") -> None:
        self.stage, self.poser = stage, poser
        self.batching = poser.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per person."""
        return [self._items(row) for row in rows]

    def _items(self, row: Row) -> list[Item]:
        picture = self.stage.picture(row)
        self.poser.check(picture)
        whole = (0.0, 0.0, float(picture.width), float(picture.height))
        boxes = [
            edges_within(place, picture.width, picture.height) if place else whole
            for _, place in self._places(row)
        ]
        return self.poser.items(picture, boxes[: self.stage.max_persons])

    def _places(self, row: Row) -> list[tuple[float | None, Any]]:
        """Score and detection of each person, the surest first; none means the whole picture."""
        if self.stage.persons_from == "picture":
            return [(None, None)]
        if self.stage.persons_from == "detector":
            return list(row["places"])
        return self._detected(row)

    def _detected(self, row: Row) -> list[tuple[float | None, Any]]:
        if row["detections"] is None:
            raise RowRejected("null_input", "column 'detections' is null, expected a list")
        scored = [(score_of(one), one) for one in row["detections"]]
        kept = [
            (score, one)
            for score, one in scored
            if one["label"] == self.stage.label and score > self.stage.threshold
        ]
        return [*sorted(kept, key=lambda pair: -pair[0])]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per person its pose and box."""
        return list(zip(self.poser.infer(items), (i.data[1] for i in items), strict=True))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Name the joints of each."""
        places = self._places(row)
        found = zip(places, outputs, strict=False)  # of all places, the best were looked at
        persons = [self._person(score, *output) for (score, _), output in found]
        return {"persons": persons, "person_count": len(places)}

    def _person(self, score: float | None, pose: Any, box: Sequence[float]) -> Row:
        x, y, width, height = box
        joints = zip(self.poser.names, pose.points.tolist(), pose.scores.tolist(), strict=True)
        return {
            "box": box_of([x, y, x + width, y + height]),
            "score": score,
            "keypoints": [{"name": n, "x": at[0], "y": at[1], "score": s} for n, at, s in joints],
        }
