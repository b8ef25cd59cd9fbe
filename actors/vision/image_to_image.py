"""image-to-image: a picture with more pixels, or another one after its pattern."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pyarrow as pa
from PIL import Image
from pydantic import field_validator, model_validator

from actors import images
from actors.architecture import is_made_for, why_not
from actors.diffused_stage import PROMPTED, DiffusedStage, why_not_diffused
from actors.painting.tiles import GRID
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option
from actors.text import not_blank

if TYPE_CHECKING:
    from actors.painting.diffusion import Diffusion
    from actors.painting.upscaler import Upscaler

STEP = 16
"""Pixels: sides that pipelines of diffusers take are multiples of 8 or 16."""

PAINTING = ("steps", "guidance", "seed", "prompt", "strength", "max_side")
ROUND_DOWN = ("StableDiffusionPipeline", "StableDiffusionImg2Img", "StableDiffusionXL")
"""How pipelines are called that take `strength` of their steps, rounded down."""

ENLARGING = ("tile", "halo")


class ImageToImage(DiffusedStage):
    """Enlarges a picture, or paints another one after it.

    With a model for super-resolution (Swin2SR), `result` has the model's factor (2 or 4) times the
    picture's sides; with one for cleaning JPEGs, its own size. A picture larger than `tile` is
    shown to the model in tiles that overlap, so memory stays bounded whatever its size: with
    random weights of the default model's size the result was the untiled one in 99.99 % of the
    numbers and one level of 255 beside it in the others.

    With a pipeline of diffusers (needs the extra `diffusion`), `result` is painted after the
    picture and a prompt: the row's, else the option's. The picture is shown with `max_side` at
    most, its sides rounded to multiples of 16, and `result` has that size. Chance comes from the
    row's `seed`, else from the option `seed` and the prompt. `nsfw` and `prompt_truncated` are as
    in text-to-image, and null for super-resolution.
    """

    reads: ClassVar[Columns] = {"image": pa.binary(), **PROMPTED}
    optional_reads: ClassVar[frozenset[str]] = frozenset(PROMPTED)
    chunk: ClassVar[int] = 1
    models: ClassVar[Defaults] = Defaults(
        hub="caidas/swin2SR-classical-sr-x2-64", licence="Apache-2.0"
    )

    tile: int = option(
        256,
        "Super-resolution: larger pictures are cut into tiles of so many pixels a side.",
        ge=96,
        le=2_048,
        multiple_of=GRID,
    )
    halo: int = option(
        32,
        "Super-resolution: pixels at a tile's cut edges that are computed and thrown away.",
        ge=GRID,
        le=512,
        multiple_of=GRID,
    )
    prompt: str | None = option(
        None, "Diffusion: what is to be seen, for rows without a prompt.", min_length=1
    )
    strength: float | None = option(
        None,
        "Diffusion: from near 0, the picture itself, to 1, the prompt alone; default: the model's"
        " own.",
        gt=0,
        le=1,
    )
    max_side: int = option(
        1_024, "Diffusion: longest side of the picture as it is shown.", ge=STEP, le=8_192
    )
    max_pixels: int = option(4_000_000, "Larger pictures are rejected unread.", ge=1)

    _says_something = field_validator("prompt")(not_blank)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """A tile must hold more than its halo."""
        if self.tile <= 2 * self.halo:
            raise ValueError(f"'tile' must be more than twice 'halo', so above {2 * self.halo}")
        return self

    @property
    def writes(self) -> Columns:
        """The picture as a file, its size in pixels, and what painting it met."""
        return {
            "result": pa.binary(),
            "width": pa.int32(),
            "height": pa.int32(),
            "nsfw": pa.bool_(),
            "prompt_truncated": pa.bool_(),
        }

    def inputs(self, config: Mapping[str, Any] | None) -> Columns:
        """Super-resolution reads the picture alone."""
        enlarges = config is not None and "_class_name" not in config
        return {"image": self.reads["image"]} if enlarges else self.reads

    def wired(self, inputs: Collection[str], config: Mapping[str, Any] | None) -> str | None:
        """Painting needs a prompt."""
        paints = config is not None and "_class_name" in config
        if paints and "prompt" not in inputs and self.prompt is None:
            return (
                "image-to-image needs a prompt for this model.\n"
                "  name the column that holds one:  input: {prompt: COLUMN}\n"
                "  or one for all rows:             options: {prompt: in oil on canvas}"
            )
        return None

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models for super-resolution of colour pictures, and pipelines of diffusers."""
        if "_class_name" in config:
            vain = self._changed(ENLARGING)
            if vain:
                return f"{vain[0]} is an option of models for super-resolution"
            if self._takes_no_step(str(config["_class_name"])):
                return (
                    f"strength {self.strength} of {self.steps} steps is less than one step;"
                    " raise one of them"
                )
            return why_not_diffused("image-to-image", config)
        if not is_made_for(config, "ForImageSuperResolution"):
            needed = "a ...ForImageSuperResolution or a pipeline of diffusers"
            return why_not("image-to-image", needed, config)
        vain = self._changed(PAINTING)
        if vain:
            return f"{vain[0]} is an option of pipelines of diffusers"
        channels = config.get("num_channels", 3)
        return None if channels == 3 else f"the model sees {channels} channels, and pictures have 3"

    def _takes_no_step(self, name: str) -> bool:
        """Whether nothing would be painted; other pipelines round the steps up."""
        if self.steps is None or self.strength is None or not name.startswith(ROUND_DOWN):
            return False
        return int(self.steps * self.strength) < 1

    def _changed(self, names: Sequence[str]) -> list[str]:
        fields = type(self).model_fields
        return [name for name in names if getattr(self, name) != fields[name].default]

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model, whichever it is."""
        if (files.folder / "model_index.json").is_file():
            from actors.painting.diffusion import Diffusion

            settings = self.settings()
            if self.strength is not None:
                settings["strength"] = self.strength
            auto = "AutoPipelineForImage2Image"
            return Painter(self, Diffusion(auto, files.folder, device, settings))
        from actors.painting.upscaler import Upscaler

        return Enlarger(self, Upscaler(files.folder, device, self.tile, self.halo))

    def answer(self, image: Image.Image, nsfw: bool | None, cut: bool | None) -> Row:
        """Return the columns that are written."""
        size = {"width": image.width, "height": image.height}
        return {"result": self.file(image), **size, "nsfw": nsfw, "prompt_truncated": cut}


class Enlarger(Model):
    """A loaded model for super-resolution."""

    def __init__(self, stage: ImageToImage, upscaler: "Upscaler") -> None:
        self.stage = stage
        self.upscaler = upscaler
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
        return self.stage.answer(self.upscaler.whole(outputs), None, None)


class Painter(Model):
    """A loaded pipeline that paints after a picture."""

    def __init__(self, stage: ImageToImage, diffusion: "Diffusion") -> None:
        self.stage = stage
        self.diffusion = diffusion
        self.batching = diffusion.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per picture."""
        return [[self._item(row)] for row in rows]

    def _item(self, row: Row) -> Item:
        order = self.stage.order(row, self.stage.prompt)
        image = images.picture(row["image"], self.stage.max_pixels).image
        return self.diffusion.item(order, image.resize(shown(image.size, self.stage.max_side)))

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: what was asked, and the picture."""
        painted = self.diffusion.paint(items)
        return [(item.data[0], one) for item, one in zip(items, painted, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The picture as a file."""
        ((order, painted),) = outputs
        return self.stage.answer(painted.image, painted.nsfw, self.diffusion.is_cut(order.prompt))


def shown(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """Return the width and height, multiples of STEP, that a picture is shown with."""
    share = min(1.0, max_side / max(size))
    width, height = (max(STEP, round(side * share / STEP) * STEP) for side in size)
    return width, height
