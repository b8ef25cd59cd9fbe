"""depth-estimation: how far each pixel of a picture is."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa

from actors.architecture import is_made_for, why_not
from actors.image_stage import ImageStage
from actors.seeing.depth_map import Map, npy_of, png_of
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option

if TYPE_CHECKING:
    from actors.seeing.depth import DepthViewer


class DepthEstimation(ImageStage):
    """Says how far each pixel of a picture is from the camera.

    `depth` is a map as large as the upright picture, or smaller (`max_side`). As png16 it is a
    grey PNG of 16 bits: depth = depth_min + grey / 65535 * (depth_max - depth_min); as npy a file
    of NumPy's, float32, (height, width). `depth_unit` says what the numbers are: metres, or
    "relative inverse", numbers without unit that are larger for what is nearer, and say nothing
    across pictures. Read off the model's configuration; a DPT that was tuned to metres does not
    say so in its own: set `unit`.

    Families: Depth Anything (V2 Small and its metric versions are Apache-2.0; Base and Large are
    for non-commercial use), DPT, ZoeDepth, GLPN. Depth Pro needs torchvision.
    """

    models: ClassVar[Defaults] = Defaults(
        hub="depth-anything/Depth-Anything-V2-Small-hf", licence="Apache-2.0"
    )

    format: Literal["png16", "npy"] = option("png16", "How the map is written.")
    max_side: int | None = option(
        None,
        "Longest side of the map, in pixels; without it the picture's size.",
        ge=16,
        le=100_000,
    )
    unit: Literal["auto", "metres", "relative inverse"] = option(
        "auto", "What the model's numbers are; auto: as its configuration says."
    )

    @property
    def writes(self) -> Columns:
        """The map, its scale, its unit and its size."""
        return {
            "depth": pa.binary(),
            "depth_min": pa.float32(),
            "depth_max": pa.float32(),
            "depth_unit": pa.string(),
            "depth_width": pa.int32(),
            "depth_height": pa.int32(),
        }

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models of depth."""
        if is_made_for(config, "ForDepthEstimation"):
            return None
        return why_not("depth-estimation", "a ...ForDepthEstimation model", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model."""
        from actors.seeing.depth import DepthViewer

        return Gauge(self, DepthViewer(files.folder, device, self.image_backend, self.unit))


class Gauge(Model):
    """A loaded model of depth."""

    def __init__(self, stage: DepthEstimation, viewer: "DepthViewer") -> None:
        self.stage = stage
        self.viewer = viewer
        self.batching = viewer.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per picture."""
        return [[self._item(row)] for row in rows]

    def _item(self, row: Row) -> Item:
        from actors.seeing.depth import size_within

        picture = self.stage.picture(row, self.viewer.side)
        return self.viewer.item(picture, size_within(picture, self.stage.max_side))

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per picture its columns: written here, so that a window of large maps is never held."""
        return [self._columns(depth) for depth in self.viewer.maps(items)]

    def _columns(self, depth: Map) -> Row:
        height, width = depth.shape
        return {
            "depth": png_of(depth) if self.stage.format == "png16" else npy_of(depth),
            "depth_min": float(depth.min()),
            "depth_max": float(depth.max()),
            "depth_unit": self.viewer.unit,
            "depth_width": width,
            "depth_height": height,
        }

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The only item's columns."""
        return dict(outputs[0])
