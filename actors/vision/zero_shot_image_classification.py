"""zero-shot-image-classification: which of your own labels fits a picture, without training."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from actors.architecture import why_not
from actors.image_stage import ImageStage
from actors.label_stage import LABELS, LABELS_TYPE, LabelStage
from actors.scores import BEST, named
from actors.seeing.families import COMPARERS, compares_pictures
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option

if TYPE_CHECKING:
    from actors.seeing.clip import ClipViewer


class ZeroShotImageClassification(LabelStage, ImageStage):
    """Says which of your own labels fits a picture, without training.

    The labels are those of the option, or of the row where it has `candidate_labels`. The model
    compares the picture with a sentence about each; `scores` are all of them, best first (0..1).
    CLIP was trained to choose, so its scores are a softmax over the labels: they say which fits
    best, not whether any does. SigLIP was trained to judge each label by itself: several may fit,
    or none, and most scores are small. Rows whose own labels are too few, blank or twice there are
    rejected (bad_labels), or longer than the model reads (too_long).
    """

    reads: ClassVar[Columns] = {"image": pa.binary(), LABELS: LABELS_TYPE}
    optional_reads: ClassVar[frozenset[str]] = frozenset({LABELS})
    models: ClassVar[Defaults] = Defaults(
        hub="google/siglip2-base-patch16-224", licence="Apache-2.0"
    )

    example: ClassVar[Mapping[str, Any]] = {"labels": ("a dog", "a red car", "a street at night")}

    hypothesis_template: str = option(
        "This is a photo of {}.", "The sentence that a label is put into, at {}."
    )
    activation: Literal["auto", "softmax", "sigmoid"] = option(
        "auto", "How scores are made of the model's numbers; auto: as it was trained."
    )

    @property
    def writes(self) -> Columns:
        """The best label, its score, and all scores."""
        return BEST

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept CLIP and SigLIP."""
        if compares_pictures(config):
            return None
        return why_not("zero-shot-image-classification", COMPARERS, config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model, and make the labels' vectors."""
        from actors.seeing.clip import ClipViewer

        return LabelChooser(self, ClipViewer(files.folder, device, self.image_backend))


class LabelChooser(Model):
    """A loaded model with the vectors of the option's labels."""

    def __init__(self, stage: ZeroShotImageClassification, clip: "ClipViewer") -> None:
        self.stage = stage
        self.clip = clip
        self.batching = clip.batching
        self.activation = clip.usual if stage.activation == "auto" else stage.activation
        self.vectors = clip.of_sentences(stage.sentences(stage.labels))

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item for the picture, and one for each label that the row brings."""
        return [self._items(row) for row in rows]

    def _items(self, row: Row) -> list[Item]:
        own = self.stage.own_labels(row) or []
        labels = self.clip.read_whole(self.stage.sentences(own))
        return [self.clip.see(self.stage.picture(row, self.clip.side)), *labels]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item its vector."""
        return list(self.clip.vectors(items))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Compare the picture's vector with the labels'."""
        picture, *own = outputs
        labels = np.stack(own) if own else self.vectors
        scores = self.clip.scores(picture, labels, self.activation)
        found = named(self.stage.own_labels(row) or self.stage.labels, scores)
        return {**found[0], "scores": found}
