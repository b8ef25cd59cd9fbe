"""image-similarity: how alike two pictures are in what they show."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa

from actors.image_stage import ImageStage
from actors.seeing.backbones import why_no_vector
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option

if TYPE_CHECKING:
    from actors.seeing.backbone import Backbone


class ImageSimilarity(ImageStage):
    """Says how alike two pictures are in what they show.

    `similarity` is the cosine of the pictures' vectors, those that image-feature-extraction gives
    (-1..1; what counts as alike differs from model to model). A row is rejected where either
    picture cannot be read.
    """

    reads: ClassVar[Columns] = {"image": pa.binary(), "other_image": pa.binary()}
    models: ClassVar[Defaults] = Defaults(
        hub="facebook/dinov2-small",
        licence="Apache-2.0",
        embedded="embedded:efficientnet-lite0",
    )

    pooling: Literal["auto", "cls", "mean", "pooler"] = option(
        "auto",
        "What becomes a picture's vector: the first token, the mean of all places, the model's own"
        " pooled output; auto: what is usual for its family.",
    )

    @property
    def writes(self) -> Columns:
        """The similarity."""
        return {"similarity": pa.float32()}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models of pictures."""
        return why_no_vector("image-similarity", config, self.pooling)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model without its head."""
        from actors.seeing.backbone import Backbone

        return Comparer(self, Backbone(files.folder, device, self.image_backend, self.pooling))


class Comparer(Model):
    """A loaded model of pictures."""

    def __init__(self, stage: ImageSimilarity, backbone: "Backbone") -> None:
        self.stage = stage
        self.backbone = backbone
        self.batching = backbone.viewer.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """Two items: the picture and the other one."""
        return [[self._item(row, name) for name in self.stage.reads] for row in rows]

    def _item(self, row: Row, name: str) -> Item:
        viewer = self.backbone.viewer
        return viewer.item(self.stage.picture(row, viewer.side, name))

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per picture its vector, of length 1."""
        return list(self.backbone.vectors([item.data for item in items]))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Compare the two."""
        one, other = outputs
        # Rounding may take the cosine of a picture with itself past 1 by 1e-7.
        return {"similarity": float(min(max(one @ other, -1.0), 1.0))}
