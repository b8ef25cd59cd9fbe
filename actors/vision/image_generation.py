"""image-generation: pictures like those that a model was trained on, without a prompt."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from actors.architecture import why_not
from actors.diffused_stage import why_not_diffused
from actors.errors import RowRejected
from actors.painted_stage import PAINTED, PaintedStage
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option

if TYPE_CHECKING:
    from actors.painting.diffusion import Diffusion


class ImageGeneration(PaintedStage):
    """Paints pictures like those that a model was trained on: faces, churches, cats.

    Models: the unconditional pipelines of diffusers (DDPM, DDIM; needs the extra `diffusion`). All
    chance comes from the row's `seed`, so a row gets the same picture in any batch; a GPU draws
    others than a CPU.
    """

    aliases: ClassVar[tuple[str, ...]] = ("unconditional-image-generation",)
    reads: ClassVar[Columns] = {"seed": pa.int64()}
    models: ClassVar[Defaults] = Defaults(hub="google/ddpm-celebahq-256", licence="Apache-2.0")
    sample: ClassVar[Row] = {"seed": 7}

    steps: int | None = option(
        None,
        "Steps from noise to the picture; default: the pipeline's own (DDPM 1000, DDIM 50).",
        ge=1,
        le=10_000,
    )

    @property
    def writes(self) -> Columns:
        """The picture as a file, and its size in pixels."""
        return PAINTED

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept pipelines that paint without a prompt."""
        if "_class_name" in config:
            return why_not_diffused("image-generation", config, prompted=False)
        needed = "an unconditional pipeline of diffusers (model_index.json)"
        return why_not("image-generation", needed, config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the pipeline."""
        from actors.painting.diffusion import Diffusion

        settings = {} if self.steps is None else {"num_inference_steps": self.steps}
        return Generator(self, Diffusion("DiffusionPipeline", files.folder, device, settings))


class Generator(Model):
    """A loaded pipeline."""

    def __init__(self, stage: ImageGeneration, diffusion: "Diffusion") -> None:
        self.stage = stage
        self.diffusion = diffusion
        self.batching = diffusion.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per seed."""
        return [[Item(_seed(row))] for row in rows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per seed: the picture."""
        return list(self.diffusion.paint_unasked([item.data for item in items]))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The picture as a file."""
        image = outputs[0].image
        return {"image": self.stage.file(image), "width": image.width, "height": image.height}


def _seed(row: Row) -> int:
    if row["seed"] is None:
        raise RowRejected("null_input", "column 'seed' is null, expected a number")
    return int(row["seed"])
