"""anomaly-detection: whether a picture differs from good ones, and where."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from actors.architecture import architectures, why_not
from actors.image_stage import ImageStage
from actors.seeing.inspection import ARCHITECTURE, Inspection
from actors.seeing.regions import REGIONS, map_of, regions_of
from actors.stage import (
    Columns,
    Defaults,
    Device,
    Item,
    Model,
    ModelFiles,
    Row,
    model_option,
    option,
)

if TYPE_CHECKING:
    from actors.seeing.bank import Bank
    from actors.seeing.patches import PatchViewer


class AnomalyDetection(ImageStage):
    """Says whether a picture differs from good ones, and where.

    A model is made from good pictures alone by `gristmill train FILE`, with a file such as

        task: anomaly-detection
        source: {kind: images, path: good/}
        output: model

    Each place of a picture is compared with the nearest place that training saw. `anomaly_score`
    is the distance of the strangest place in units of the model's threshold: 1 and more is
    anomalous. `regions` are the places that score at least `threshold`, those that touch as one
    box, in pixels, the strangest first. `anomaly_map` is a grey PNG of the picture's shape,
    at most `map_side` pixels long: 0 is nothing strange, 255 a score of 2 or more, and a score of
    1 lies between 127 and 128. Pictures are shown whole, as squares, so all should be framed alike;
    good ones that are copies of each other, or overlap, make training set the threshold too low.
    """

    version: ClassVar[int] = 2
    models: ClassVar[Defaults] = Defaults(made_by="gristmill train FILE")

    backbone: str | None = model_option(
        None,
        None,
        "Where the model of pictures lies, if not where it was trained with; it must be the same.",
    )
    threshold: float = option(
        1.0, "Score from which a picture is anomalous; 1 is what training found.", ge=0, le=1_000
    )
    max_regions: int = option(10, "Most regions of a picture.", ge=0, le=1_000)
    map_side: int = option(
        256, "Longest side of the map in pixels, never more than the picture's; 0: no map.",
        ge=0, le=4_096,
    )  # fmt: skip

    @property
    def writes(self) -> Columns:
        """The score, whether it is too high, where, and the map unless there is none."""
        found = {"anomaly_score": pa.float32(), "is_anomaly": pa.bool_(), "regions": REGIONS}
        return {**found, **({"anomaly_map": pa.binary()} if self.map_side else {})}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept what `gristmill train` wrote for this task."""
        if ARCHITECTURE in architectures(config):
            return None
        return why_not("anomaly-detection", "a model that  gristmill train  made for it", config)

    def model_options(
        self, config: Mapping[str, Any] | None
    ) -> list[tuple[str, Mapping[str, Any]]]:
        """The model of pictures, at the revision that was trained with."""
        said = (config or {}).get("backbone")
        if not said:
            return []
        places = {"hub": said["name"], "embedded": said["name"], "revision": said["revision"]}
        return [("backbone", places)]

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the bank, and the model of pictures."""
        from actors.seeing.anomalies import read_bank
        from actors.seeing.bank import Bank
        from actors.seeing.patches import PatchViewer

        said = Inspection.read(files.folder)
        viewer = PatchViewer(files.others["backbone"], device, said.side, self.image_backend)
        bank = Bank(read_bank(files.folder, viewer.size).to(device.name))
        return Inspector(self, viewer, bank, said.threshold)


class Inspector(Model):
    """A loaded bank of good places."""

    def __init__(
        self, stage: AnomalyDetection, viewer: "PatchViewer", bank: "Bank", unit: float
    ) -> None:
        self.stage = stage
        self.viewer = viewer
        self.bank = bank
        self.unit = unit
        self.batching = viewer.viewer.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per picture; its note is the picture's width and height."""
        return [[self._item(row)] for row in rows]

    def _item(self, row: Row) -> Item:
        picture = self.stage.picture(row, self.viewer.side)
        return self.viewer.viewer.item(picture, (picture.width, picture.height))

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per picture the scores of its places, float32 (rows, columns); its width and height."""
        places = self.viewer.patches([item.data[0] for item in items])
        far = self.bank.distances(places.flatten(0, 2)).reshape(places.shape[:3]) / self.unit
        scores = far.cpu().numpy()
        return [(one, item.data[1]) for one, item in zip(scores, items, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The strangest place decides."""
        ((scores, size),) = outputs
        highest = float(np.max(scores))
        found: Row = {
            "anomaly_score": highest,
            "is_anomaly": highest >= self.stage.threshold,
            "regions": regions_of(scores, size, self.stage.threshold)[: self.stage.max_regions],
        }
        if self.stage.map_side:
            found["anomaly_map"] = map_of(scores, size, self.stage.map_side)
        return found
