"""object-detection: which things a picture shows, and where."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from actors.detections import DETECTIONS, why_no_detector, why_unknown
from actors.image_stage import ImageStage
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option

if TYPE_CHECKING:
    from actors.seeing.detectors import Chooser, Detector


class ObjectDetection(ImageStage):
    """Finds the things that a picture shows: what each is, how sure the model is, where it is.

    `detections` are the best `max_detections`, best first; boxes are in pixels of the picture's
    file held upright, and within it. `detection_count` says how many scored more than
    `threshold`. RT-DETR, RT-DETRv2, D-FINE, (conditional, deformable) DETR and YOLOS work; those
    of the DETR family whose backbone is timm's need the revision without it (`no_timm`).
    """

    models: ClassVar[Defaults] = Defaults(
        hub="PekingU/rtdetr_v2_r18vd", licence="Apache-2.0", embedded="embedded:nanodet-g"
    )

    threshold: float = option(0.5, "Things must score more.", ge=0, lt=1)
    max_detections: int = option(100, "Most things of a picture, the best.", ge=1, le=1_000)
    labels: tuple[str, ...] | None = option(
        None, "Labels to keep, as the model spells them; all by default.", min_length=1
    )

    @property
    def writes(self) -> Columns:
        """The things, best first, and how many there are."""
        return {"detections": DETECTIONS, "detection_count": pa.int32()}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept detectors that know the labels to keep."""
        problem = why_no_detector("object-detection", config)
        return problem or why_unknown(self.labels, config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the detector."""
        from actors.seeing.detectors import Chooser, load_detector

        detector = load_detector(files.folder, device, self.image_backend)
        return ThingFinder(self, detector, Chooser(detector.labels, self.threshold, self.labels))


class ThingFinder(Model):
    """A loaded detector."""

    def __init__(self, stage: ObjectDetection, detector: "Detector", chooser: "Chooser") -> None:
        self.stage = stage
        self.detector = detector
        self.chooser = chooser
        self.batching = detector.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per picture."""
        side = self.detector.side
        return [[self.detector.item(self.stage.picture(row, side))] for row in rows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per picture what is found and wanted."""
        return [self.chooser.chosen(found) for found in self.detector.infer(items)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Name the best."""
        (found,) = outputs
        named = self.chooser.named(found, self.stage.max_detections)
        return {"detections": named, "detection_count": len(found.scores)}
