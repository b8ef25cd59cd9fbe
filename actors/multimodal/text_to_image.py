"""text-to-image: a picture of what a text says."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from actors.architecture import is_made_for, why_not
from actors.diffused_stage import PROMPTED, DiffusedStage, why_not_diffused
from actors.painted_stage import PAINTED
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option

if TYPE_CHECKING:
    from actors.painting.painted import Painter as PaintingModel

JANUS = "JanusForConditionalGeneration"


class TextToImage(DiffusedStage):
    """Paints what a prompt says.

    Models: pipelines of diffusers (FLUX, Stable Diffusion and others; needs the extra
    `diffusion`), and Janus, which needs nothing beside. What is drawn by chance comes from the
    row's `seed`, else from the option `seed` and the prompt, so a row gets the same picture in any
    batch; `seed_used` says which it was. A GPU draws other pictures than a CPU, but for Janus.
    `nsfw` is what the model's own safety checker said, which blackens such pictures; null where
    there is none. `prompt_truncated` says that the model read only the prompt's beginning; Janus
    rejects such prompts (too_long). Negative prompts are rejected where the model heeds none
    (unused_negative_prompt).
    """

    reads: ClassVar[Columns] = PROMPTED
    optional_reads: ClassVar[frozenset[str]] = frozenset({"negative_prompt", "seed"})
    models: ClassVar[Defaults] = Defaults(
        hub="black-forest-labs/FLUX.1-schnell", licence="Apache-2.0"
    )
    sample: ClassVar[Row] = {"prompt": "A red sofa in a garden.", "seed": 7}

    width: int | None = option(
        None, "Width in pixels; default: the model's own. Janus has one size.", ge=8, le=8_192,
        multiple_of=8,
    )  # fmt: skip
    height: int | None = option(
        None, "Height in pixels; default: the model's own.", ge=8, le=8_192, multiple_of=8
    )
    temperature: float = option(
        1.0, "Janus: below 1 likely tokens get likelier, above 1 less so.", ge=0.01, le=100
    )

    @property
    def writes(self) -> Columns:
        """The picture as a file, its size, and how it came to be."""
        return {
            **PAINTED,
            "seed_used": pa.int64(),
            "nsfw": pa.bool_(),
            "prompt_truncated": pa.bool_(),
        }

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept pipelines of diffusers and Janus, and options that they have."""
        if "_class_name" in config:
            if self.temperature != 1.0:
                return "temperature is an option of Janus models"
            return why_not_diffused("text-to-image", config)
        if not is_made_for(config, JANUS):
            needed = f"a pipeline of diffusers (model_index.json) or a {JANUS}"
            return why_not("text-to-image", needed, config)
        lacking = [name for name in ("steps", "width", "height") if getattr(self, name) is not None]
        return f"Janus models have no {lacking[0]} to set" if lacking else None

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model, whichever it is."""
        return Painter(self, self._model(files, device))

    def _model(self, files: ModelFiles, device: Device) -> "PaintingModel":
        if not (files.folder / "model_index.json").is_file():
            from actors.painting.janus import Janus

            return Janus(files.folder, device, self.guidance, self.temperature)
        from actors.painting.diffusion import Diffusion

        size = {"width": self.width, "height": self.height}
        settings = {**self.settings(), **{n: v for n, v in size.items() if v is not None}}
        return Diffusion("AutoPipelineForText2Image", files.folder, device, settings)


class Painter(Model):
    """A loaded model that paints."""

    def __init__(self, stage: TextToImage, model: "PaintingModel") -> None:
        self.stage = stage
        self.model = model
        self.batching = model.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per prompt."""
        return [[self.model.item(self.stage.order(row))] for row in rows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: what was asked, and the picture."""
        painted = self.model.paint(items)
        return [(item.data[0], one) for item, one in zip(items, painted, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The picture as a file."""
        ((order, painted),) = outputs
        image = painted.image
        return {
            "image": self.stage.file(image),
            "width": image.width,
            "height": image.height,
            "seed_used": order.seed,
            "nsfw": painted.nsfw,
            "prompt_truncated": self.model.is_cut(order.prompt),
        }
