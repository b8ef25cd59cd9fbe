"""image-feature-extraction: a vector that stands for what a picture shows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa

from actors.image_stage import ImageStage
from actors.seeing.backbones import why_no_vector
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option

if TYPE_CHECKING:
    from actors.seeing.backbone import Backbone


class ImageFeatureExtraction(ImageStage):
    """Turns a picture into a vector: pictures that show like things get vectors that point alike.

    All vectors of a model have one size. Transformers (ViT, DeiT, DINOv2) give their first token,
    other models of pictures (Swin, ConvNeXt, EfficientNet, ResNet...) their pooled output, unless
    `pooling` says otherwise; a classifier's checkpoint will do, its head is left out. CLIP and
    SigLIP give the vector that they compare with texts.
    """

    aliases: ClassVar[tuple[str, ...]] = ("image-embedding",)
    models: ClassVar[Defaults] = Defaults(
        hub="facebook/dinov2-small",
        licence="Apache-2.0",
        embedded="embedded:efficientnet-lite0",
    )
    searched: ClassVar[Mapping[str, str]] = {"image": "embedding"}

    pooling: Literal["auto", "cls", "mean", "pooler"] = option(
        "auto",
        "What becomes the vector: the first token, the mean of all places, the model's own pooled"
        " output; auto: what is usual for its family.",
    )
    normalize: bool = option(True, "Give all vectors length 1, so that a dot product is a cosine.")

    @property
    def writes(self) -> Columns:
        """The vector."""
        return {"embedding": pa.list_(pa.float32())}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models of pictures."""
        return why_no_vector("image-feature-extraction", config, self.pooling)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model without its head."""
        from actors.seeing.backbone import Backbone

        backbone = Backbone(files.folder, device, self.image_backend, self.pooling, self.normalize)
        return Describer(self, backbone)


class Describer(Model):
    """A loaded model of pictures."""

    def __init__(self, stage: ImageFeatureExtraction, backbone: "Backbone") -> None:
        self.stage = stage
        self.backbone = backbone
        self.batching = backbone.viewer.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per picture."""
        viewer = self.backbone.viewer
        return [[viewer.item(self.stage.picture(row, viewer.side))] for row in rows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per picture its vector: float32, (size,)."""
        return list(self.backbone.vectors([item.data for item in items]))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The only vector is the answer."""
        return {"embedding": outputs[0]}
