"""visual-grounding: where a picture shows what phrases name."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from pydantic import field_validator

from actors.architecture import why_not
from actors.detections import DETECTIONS, ENDS, GROUNDERS, named
from actors.errors import RowRejected
from actors.image_stage import ImageStage
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option
from actors.text import texts_of

if TYPE_CHECKING:
    from actors.seeing.grounding import Grounder


class VisualGrounding(ImageStage):
    """Finds where a picture shows what phrases name: "a red car", "the man with a hat".

    The phrases are those of the option, or of the row where it has `phrases`. `detections` are the
    best `max_detections`, best first: `label` is the phrase, `label_id` its number, the box is in
    pixels of the picture's file held upright. `detection_count` says how many scored more than the
    threshold. Grounding DINO (also MM Grounding DINO) reads all phrases as one text, so a phrase's
    score depends on the others; OWL-ViT and OWLv2 read each by itself. Rows without a phrase, or
    with a blank one, are rejected (empty_text), and those whose phrases are longer than the model
    reads (too_long) or hold a mark that ends a phrase for it (invalid_text: Grounding DINO's '.'
    and '?').
    """

    aliases: ClassVar[tuple[str, ...]] = ("zero-shot-object-detection",)
    reads: ClassVar[Columns] = {"image": pa.binary(), "phrases": pa.list_(pa.string())}
    optional_reads: ClassVar[frozenset[str]] = frozenset({"phrases"})
    models: ClassVar[Defaults] = Defaults(
        hub="IDEA-Research/grounding-dino-tiny", licence="Apache-2.0"
    )
    example: ClassVar[Mapping[str, Any]] = {"phrases": ("a cat", "a red car")}

    phrases: tuple[str, ...] = option((), "What to find, where a row brings no phrases.")
    threshold: float | None = option(
        None,
        "Boxes must score more; by default 0.25 for Grounding DINO, 0.1 for OWL, as their authors"
        " have it.",
        ge=0,
        lt=1,
    )
    max_detections: int = option(100, "Most boxes of a picture, the best.", ge=1, le=1_000)

    @field_validator("phrases")
    @classmethod
    def _none_is_blank(cls, phrases: tuple[str, ...]) -> tuple[str, ...]:
        if not all(phrase.strip() for phrase in phrases):
            raise ValueError("a phrase is blank")
        return phrases

    @property
    def writes(self) -> Columns:
        """What was found, best first, and how much there is."""
        return {"detections": DETECTIONS, "detection_count": pa.int32()}

    def wired(self, inputs: Collection[str], config: Mapping[str, Any] | None) -> str | None:
        """Ask for phrases in one place at least."""
        if "phrases" in inputs or self.phrases:
            return None
        return "what is to be found? Set the option  phrases  or bring a column of that name"

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models that find what phrases name."""
        kind = GROUNDERS.get(str(config.get("model_type")))
        if kind == "dino" and any(mark in phrase for phrase in self.phrases for mark in ENDS):
            return "a phrase holds a '.' or '?', which ends a phrase for Grounding DINO"
        if kind is not None:
            return None
        return why_not("visual-grounding", f"one of {', '.join(GROUNDERS)}", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model."""
        from actors.seeing.grounding import load_grounder

        return PhraseFinder(self, load_grounder(files.folder, device, self.image_backend))

    def phrases_of(self, row: Row) -> Sequence[str]:
        """Return the phrases of a row. Raises RowRejected (empty_text and those of texts)."""
        if row.get("phrases") is None and self.phrases:
            return self.phrases
        phrases = texts_of(row, "phrases")
        if not phrases or not all(phrase.strip() for phrase in phrases):
            raise RowRejected("empty_text", "the row has no phrase, or a blank one")
        return phrases


class PhraseFinder(Model):
    """A loaded model that finds what phrases name."""

    def __init__(self, stage: VisualGrounding, grounder: "Grounder") -> None:
        self.stage = stage
        self.grounder = grounder
        self.batching = grounder.batching
        if stage.phrases:
            grounder.check(stage.phrases)
        self.threshold = grounder.usual if stage.threshold is None else stage.threshold

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per row: its picture and its phrases."""
        return [[self._item(row)] for row in rows]

    def _item(self, row: Row) -> Item:
        picture = self.stage.picture(row, self.grounder.viewer.side)
        return self.grounder.item(picture, self.stage.phrases_of(row))

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per row every box that the model draws."""
        return self.grounder.infer(items)

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Name the best."""
        (found,) = outputs
        kept = tuple(values[found.scores > self.threshold] for values in found)
        best = named(self.stage.phrases_of(row), kept, self.stage.max_detections)
        return {"detections": best, "detection_count": len(kept[1])}
