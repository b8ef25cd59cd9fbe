"""image-captioning: what a picture shows, in words."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from pydantic import field_validator

from actors.architecture import is_made_for, why_not
from actors.image_stage import ImageStage
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option
from actors.text import full_text_of, not_blank

if TYPE_CHECKING:
    from actors.telling.teller import Teller

NEEDED = (
    "a BLIP, GIT, Florence-2 or vision-encoder-decoder model (chat models write captions as"
    " multimodal-chat)"
)
"""What `check` says that it accepts."""

USUAL = {"florence2": "<CAPTION>"}
"""What a model is asked where nothing is said, by model_type; others write without words."""


class ImageCaptioning(ImageStage):
    """Says in a sentence what a picture shows.

    BLIP, GIT, Florence-2, and encoders of pictures with a decoder such as ViT with GPT-2. A
    `prompt`, of the option or row by row in a column, is the caption's beginning for BLIP and GIT
    ("a photo of"), and for Florence-2 what it is asked: <CAPTION>, <DETAILED_CAPTION> or
    <MORE_DETAILED_CAPTION>. `score` (0..1) is the mean probability of the tokens that were
    written; `caption_truncated` says that the caption came to `max_new_tokens` and not to an end.
    """

    reads: ClassVar[Columns] = {"image": pa.binary(), "prompt": pa.string()}
    optional_reads: ClassVar[frozenset[str]] = frozenset({"prompt"})
    aliases: ClassVar[tuple[str, ...]] = ("image-to-text",)
    models: ClassVar[Defaults] = Defaults(
        hub="Salesforce/blip-image-captioning-base", licence="BSD-3-Clause"
    )

    prompt: str | None = option(
        None,
        "BLIP, GIT: how captions begin. Florence-2: what it is asked; default <CAPTION>. A row's"
        " own prompt comes before it.",
        min_length=1,
    )
    max_new_tokens: int = option(30, "Most tokens written for a picture.", ge=1, le=10_000)
    num_beams: int = option(1, "Beams of the search; 1: greedy.", ge=1, le=64)

    _says_something = field_validator("prompt")(not_blank)

    @property
    def writes(self) -> Columns:
        """The caption, how likely it was, and whether the limit cut it."""
        return {
            "caption": pa.string(),
            "score": pa.float32(),
            "caption_truncated": pa.bool_(),
        }

    def inputs(self, config: Mapping[str, Any] | None) -> Columns:
        """Prompts are read only where the model takes them."""
        if config is None or _teller_of(config) != "Painted":
            return self.reads
        return {"image": self.reads["image"]}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models that write captions."""
        if _teller_of(config) is None:
            return why_not("image-captioning", NEEDED, config)
        if self.prompt and _teller_of(config) == "Painted":
            return "this model takes no prompt: it writes captions only; drop the option"
        return None

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model."""
        from transformers import AutoConfig

        from actors.telling import teller

        config = AutoConfig.from_pretrained(files.folder, local_files_only=True)
        settings = {"max_new_tokens": self.max_new_tokens, "num_beams": self.num_beams}
        kind = getattr(teller, str(_teller_of(config.to_dict())))
        usual = self.prompt or USUAL.get(config.model_type, "")
        return Captioner(self, kind(files.folder, device, self.image_backend, settings), usual)


def _teller_of(config: Mapping[str, Any]) -> str | None:
    """Return the class of `actors/telling/teller.py` for a model, if there is one."""
    family = config.get("model_type")
    if family == "vision-encoder-decoder":
        return "Painted"
    if family == "blip" and is_made_for(config, "ForConditionalGeneration"):
        return "Blip"
    return {"git": "Git", "florence2": "Florence"}.get(str(family))


class Captioner(Model):
    """A loaded model that writes captions; `usual` is what it is asked where a row says nothing."""

    def __init__(self, stage: ImageCaptioning, teller: "Teller", usual: str) -> None:
        self.stage = stage
        self.teller = teller
        self.usual = usual
        self.batching = teller.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per picture."""
        return [[self._item(row)] for row in rows]

    def _item(self, row: Row) -> Item:
        asked = row.get("prompt") is not None
        words = full_text_of(row, "prompt") if asked else self.usual
        return self.teller.item(self.stage.picture(row, self.teller.side), words)

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: what was written."""
        return list(self.teller.tell(items, whole=True))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Say what was written."""
        (written,) = outputs
        return {
            "caption": written.text.strip(),
            "score": written.chance,
            "caption_truncated": not written.ended,
        }
