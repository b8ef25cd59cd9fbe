"""multimodal-chat: what a model answers about pictures and sound."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
from PIL import Image

from actors import images, sound
from actors.architecture import is_made_for, why_not
from actors.errors import RowRejected
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option
from actors.writing_stage import ASKED, WritingStage, written_columns

if TYPE_CHECKING:
    from actors.sound import Samples
    from actors.telling.talker import Talker

SEES = ("vision_config", "perceiver_config", "vision_tower_config")
"""What a config.json holds of a model that sees."""

HEARS = ("audio_config", "thinker_config")
"""What it holds of a model that hears."""

WRITES = ("ForConditionalGeneration", "ForImageTextToText", "ForVision2Seq", "ForVisionText2Text")
"""Endings of the architectures that answer chats; Phi-4-multimodal is called ForCausalLM."""

NO_CHAT = frozenset({"blip", "florence2", "pix2struct", "vision-encoder-decoder"})
"""Families with such names that are not asked by chats: captioners and readers."""


class MultimodalChat(WritingStage):
    """Answers a prompt, or the messages of a chat, about pictures and sound.

    IDEFICS 1, 2 and 3, SmolVLM, Qwen2-VL, Qwen2.5-VL, Qwen3-VL, Phi-4-multimodal, and other models
    that transformers asks by chat templates. Each row has a `prompt` or `messages`; beside it an
    `image`, several `images`, and for models that hear, `audio` (the mean of its channels), each of
    which may be null. All stand before the text of the user's first turn, `image` first. Pictures
    that cannot be decoded reject the row, as do more than `max_images` (too_many_images), and
    chats that do not fit (too_long). `generated_text`, `n_prompt_tokens` (those of pictures and
    sound counted), `n_new_tokens` and `finish_reason` are text-generation's. Phi-4-multimodal
    answers as its main weights do: its adapters for sight and speech must be merged into them.
    """

    reads: ClassVar[Columns] = {
        **ASKED,
        "image": pa.binary(),
        "images": pa.list_(pa.binary()),
        "audio": pa.binary(),
    }
    optional_reads: ClassVar[frozenset[str]] = frozenset(reads)
    aliases: ClassVar[tuple[str, ...]] = ("image-text-to-text",)
    models: ClassVar[Defaults] = Defaults(
        hub="HuggingFaceTB/SmolVLM-256M-Instruct", licence="Apache-2.0"
    )
    chunk: ClassVar[int] = 1
    sample: ClassVar[Row] = {"prompt": "What is in this picture?", "image": None}

    max_images: int = option(16, "Most pictures of a row.", ge=0, le=1_000)
    max_side: int | None = option(
        None,
        "Make pictures whose longer side has more pixels smaller first: fewer tiles, fewer tokens,"
        " less to see. Default: the model's own processor decides.",
        ge=16,
        le=16_384,
    )
    max_length: int | None = option(
        None,
        "Most tokens of a chat, pictures and sound included; default: what the model takes beside"
        " max_new_tokens.",
        ge=1,
        le=10_000_000,
    )
    image_backend: Literal["pil", "torchvision"] = option(
        "pil",
        "What resizes pictures. The two give slightly different numbers, so it is never chosen"
        " for you; torchvision must be installed.",
    )
    max_pixels: int = option(images.MAX_PIXELS, "Larger images are rejected unread.", ge=1)
    max_seconds: float = option(
        600.0, "Longer recordings, seconds x channels, are rejected.", gt=0, le=1e6
    )

    def inputs(self, config: Mapping[str, Any] | None) -> Columns:
        """Sound is read only where the model hears."""
        if config is None or _has(config, HEARS):
            return self.reads
        return {name: kind for name, kind in self.reads.items() if name != "audio"}

    def wired(self, inputs: Collection[str], config: Mapping[str, Any] | None) -> str | None:
        """One of the texts must be there."""
        if set(inputs) & set(ASKED):
            return None
        return (
            "multimodal-chat reads column 'prompt' or 'messages', and there is neither.\n"
            "  name the column that holds one:  input: {prompt: COLUMN}"
        )

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models that answer chats and see or hear."""
        family = config.get("model_type")
        writes = is_made_for(config, *WRITES) or family == "phi4_multimodal"
        if writes and _has(config, (*SEES, *HEARS)) and family not in NO_CHAT:
            return None
        needed = "a chat model that sees (Idefics, SmolVLM, Qwen-VL, Phi-4-multimodal...)"
        return why_not("multimodal-chat", needed, config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model."""
        from actors.telling.talker import Talker

        options = (self.image_backend, self.manner(), self.max_length)
        return Answerer(self, Talker(files.folder, device, *options))


def _has(config: Mapping[str, Any], names: Collection[str]) -> bool:
    return any(config.get(name) for name in names)


class Answerer(Model):
    """A loaded chat model."""

    def __init__(self, stage: MultimodalChat, talker: "Talker") -> None:
        self.stage = stage
        self.talker = talker
        self.batching = talker.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per row."""
        return [[self._item(row)] for row in rows]

    def _item(self, row: Row) -> Item:
        from actors.telling.conversation import turns_of

        turns = turns_of(row, self.stage.system, self._pictures(row), self._sounds(row))
        return self.talker.item(turns)

    def _pictures(self, row: Row) -> list[Image.Image]:
        found = [row["image"]] if row.get("image") is not None else []
        more = row.get("images")
        if more is not None and not isinstance(more, (list, tuple)):
            raise RowRejected("wrong_type", f"'images' is {type(more).__name__}, expected a list")
        found += more or []
        if len(found) > self.stage.max_images:
            raise RowRejected(
                "too_many_images", f"{len(found)} pictures, max_images is {self.stage.max_images}"
            )
        return [self._picture(data) for data in found]

    def _picture(self, data: Any) -> Image.Image:
        side = self.stage.max_side
        image = images.picture(
            data, self.stage.max_pixels, at_least=side and images.ENOUGH * side
        ).image
        if side is not None:
            image.thumbnail((side, side))  # keeps smaller ones as they are
        return image

    def _sounds(self, row: Row) -> "list[Samples]":
        if row.get("audio") is None:
            return []
        return [sound.decode(row["audio"], self.talker.rate, self.stage.max_seconds)[0]]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: the tokens that were read, and what was written."""
        found = self.talker.write(items)
        return [(len(item.data.ids), one) for item, one in zip(items, found, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Say what was written and why it ended."""
        ((read, written),) = outputs
        return written_columns(written, read)
