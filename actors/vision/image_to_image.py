"""image-to-image: a picture with more pixels, or another one after its pattern."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pyarrow as pa
from pydantic import model_validator

from actors import images
from actors.architecture import is_made_for, why_not
from actors.painted_stage import PaintedStage
from actors.painting.tiles import GRID
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option

if TYPE_CHECKING:
    from actors.painting.upscaler import Upscaler


class ImageToImage(PaintedStage):
    """Enlarges pictures with a model for super-resolution (Swin2SR).

    `result` has the model's factor (2 or 4) times the picture's sides; with a model for cleaning
    JPEGs, its own size. A picture larger than `tile` is shown to the model in tiles that overlap,
    so that memory stays bounded whatever its size.
    """

    reads: ClassVar[Columns] = {"image": pa.binary()}
    chunk: ClassVar[int] = 1
    models: ClassVar[Defaults] = Defaults(
        hub="caidas/swin2SR-classical-sr-x2-64", licence="Apache-2.0"
    )

    tile: int = option(
        256,
        "Larger pictures are cut into tiles of so many pixels a side.",
        ge=96,
        le=2_048,
        multiple_of=GRID,
    )
    halo: int = option(
        32,
        "Pixels at a tile's cut edges that are computed and thrown away.",
        ge=GRID,
        le=512,
        multiple_of=GRID,
    )
    max_pixels: int = option(4_000_000, "Larger pictures are rejected unread.", ge=1)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """A tile must hold more than its halo."""
        if self.tile <= 2 * self.halo:
            raise ValueError(f"'tile' must be more than twice 'halo', so above {2 * self.halo}")
        return self

    @property
    def writes(self) -> Columns:
        """The picture as a file, and its size in pixels."""
        return {"result": pa.binary(), "width": pa.int32(), "height": pa.int32()}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models for super-resolution of colour pictures."""
        if not is_made_for(config, "ForImageSuperResolution"):
            return why_not("image-to-image", "a ...ForImageSuperResolution", config)
        channels = config.get("num_channels", 3)
        return None if channels == 3 else f"the model sees {channels} channels, and pictures have 3"

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model."""
        from actors.painting.upscaler import Upscaler, put_together

        return Enlarger(self, Upscaler(files.folder, device, self.tile, self.halo), put_together)


class Enlarger(Model):
    """A loaded model for super-resolution."""

    def __init__(self, stage: ImageToImage, upscaler: "Upscaler", put_together: Any) -> None:
        self.stage = stage
        self.upscaler = upscaler
        self.put_together = put_together
        self.batching = upscaler.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per tile."""
        most = self.stage.max_pixels
        return [self.upscaler.items(images.picture(row["image"], most)) for row in rows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per tile: what it lends the result."""
        return list(self.upscaler.enlarge(items))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Put the tiles together, as a file."""
        image = self.put_together(outputs)
        return {"result": self.stage.file(image), "width": image.width, "height": image.height}
