"""image-tagging: every tag that fits a picture, and its attributes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import field_validator, model_validator

from actors.architecture import is_made_for, why_not
from actors.image_stage import ImageStage
from actors.scores import SCORES, Scorer, labels_of, named, usual_activation
from actors.seeing.families import COMPARERS, compares_pictures
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option

if TYPE_CHECKING:
    from actors.seeing.clip import ClipViewer
    from actors.seeing.viewer import Viewer

CLASSIFIERS = ("ForImageClassification", "ForImageClassificationWithTeacher")

ATTRIBUTES = pa.list_(
    pa.struct([("attribute", pa.string()), ("value", pa.string()), ("score", pa.float32())])
)
"""The value that fits best of each attribute, in the order of the option."""


class ImageTagging(ImageStage):
    """Says every tag that fits a picture: a model's own labels, or words and attributes of yours.

    A classifier tags with its labels, best first. CLIP and SigLIP tag with `tags`, and choose one
    value of each of `attributes`, such as {colour: [red, blue], material: [wood, metal]}, whose
    scores are shares of that attribute's values (0..1). SigLIP and classifiers with several labels
    a picture judge each tag by itself; CLIP and classifiers with one share 1 among all tags, so
    that few pass the threshold. A tag may be a name or a phrase; how well the open ones fit depends
    on the sentence they are put into.
    """

    models: ClassVar[Defaults] = Defaults(
        hub="google/siglip2-base-patch16-224",
        licence="Apache-2.0",
        embedded="embedded:efficientnet-lite0",
    )

    tags: tuple[str, ...] = option(
        (), "Your own tags, for CLIP and SigLIP; a classifier has its labels.", max_length=10_000
    )
    attributes: dict[str, tuple[str, ...]] = option(
        {},
        "Attributes of your own, each with two or more values to choose from, for CLIP and SigLIP.",
        max_length=1_000,
    )
    threshold: float = option(
        0.1, "Tags that score less are left out; SigLIP's scores are low.", ge=0, le=1
    )
    top_k: int = option(20, "Most tags of a picture.", ge=1, le=10_000)
    activation: Literal["auto", "softmax", "sigmoid"] = option(
        "auto", "How tags' scores are made of the model's numbers; auto: as it was trained."
    )
    tag_template: str = option("This is a photo of {}.", "The sentence that a tag is put into.")
    attribute_template: str = option(
        "This is a photo of something with {attribute} {value}.",
        "The sentence that an attribute's value is put into; {attribute} may be left out.",
    )

    @field_validator("tag_template")
    @classmethod
    def _has_a_place_for_the_tag(cls, template: str) -> str:
        if template.count("{}") != 1:
            raise ValueError("must hold {} once, where the tag goes: 'This is a photo of {}.'")
        return template

    @field_validator("attribute_template")
    @classmethod
    def _has_a_place_for_the_value(cls, template: str) -> str:
        if template.count("{value}") != 1:
            raise ValueError("must hold {value} once: 'a thing with {attribute} {value}'")
        return template

    @model_validator(mode="after")
    def _words_can_be_told_apart(self) -> "ImageTagging":
        for name, words in {"tags": self.tags, **self.attributes}.items():
            if not all(word.strip() for word in (name, *words)):
                raise ValueError(f"{name or 'attributes'}: a word is blank")
            if len(set(words)) < len(words):
                raise ValueError(f"{name}: a word is there twice")
        few = [name for name, values in self.attributes.items() if len(values) < 2]
        if few:
            raise ValueError(f"attributes: '{few[0]}' needs two values or more to choose from")
        return self

    @property
    def writes(self) -> Columns:
        """The tags, and the attributes where there are any; only those where no tags are given."""
        tags = {"tags": SCORES} if self.tags or not self.attributes else {}
        return {**tags, **({"attributes": ATTRIBUTES} if self.attributes else {})}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept classifiers, and where words of one's own are given, CLIP and SigLIP."""
        own = bool(self.tags or self.attributes)
        if is_made_for(config, *CLASSIFIERS):
            said = "a classifier has its own labels; leave tags and attributes out, or name a CLIP"
            return said if own else None
        if compares_pictures(config):
            said = "CLIP and SigLIP have no labels of their own; options: {tags: [a dog, a car]}"
            return None if own else said
        return why_not("image-tagging", f"a ...ForImageClassification, or {COMPARERS}", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load whichever kind of model the options ask for."""
        if self.tags or self.attributes:
            from actors.seeing.clip import ClipViewer

            return WordTagger(self, ClipViewer(files.folder, device, self.image_backend))
        from transformers import AutoModelForImageClassification

        from actors.seeing.viewer import Viewer

        viewer = Viewer(AutoModelForImageClassification, files.folder, device, self.image_backend)
        return LabelTagger(self, viewer)

    def chosen(self, labels: Sequence[str], scores: np.ndarray) -> list[Row]:
        """Return the tags that pass, best first."""
        return [s for s in named(labels, scores)[: self.top_k] if s["score"] >= self.threshold]


class LabelTagger(Model):
    """A classifier, of whose labels many may fit."""

    def __init__(self, stage: ImageTagging, viewer: "Viewer") -> None:
        self.stage = stage
        self.viewer = viewer
        self.batching = viewer.batching
        usual = usual_activation(viewer.config)
        activation = usual if stage.activation == "auto" else stage.activation
        self.scorer = Scorer(labels_of(viewer.config), activation, stage.top_k, stage.threshold)

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per picture."""
        return [[self.viewer.item(self.stage.picture(row, self.viewer.side))] for row in rows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per picture its scores: float32, (labels,)."""
        logits = self.viewer.forward([item.data for item in items]).logits
        return list(self.scorer.scores(logits.float().cpu().numpy()))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Name the labels that pass."""
        return {"tags": self.stage.chosen(self.scorer.labels, outputs[0])}


class WordTagger(Model):
    """CLIP or SigLIP with the vectors of one's own words."""

    def __init__(self, stage: ImageTagging, clip: "ClipViewer") -> None:
        self.stage = stage
        self.clip = clip
        self.batching = clip.batching
        self.activation = clip.usual if stage.activation == "auto" else stage.activation
        # replace, not format: a word may hold braces
        tags = [stage.tag_template.replace("{}", tag) for tag in stage.tags]
        self.tags = clip.of_sentences(tags) if tags else None
        self.values = {
            name: clip.of_sentences([_sentence(stage.attribute_template, name, v) for v in values])
            for name, values in stage.attributes.items()
        }

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per picture."""
        return [[self.clip.see(self.stage.picture(row, self.clip.side))] for row in rows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per picture its vector."""
        return list(self.clip.vectors(items))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Compare the picture with the words."""
        (picture,) = outputs
        found: Row = {}
        if self.tags is not None:
            scores = self.clip.scores(picture, self.tags, self.activation)
            found["tags"] = self.stage.chosen(self.stage.tags, scores)
        if self.values:
            found["attributes"] = [self._best(picture, name) for name in self.values]
        return found

    def _best(self, picture: np.ndarray, attribute: str) -> Row:
        scores = self.clip.scores(picture, self.values[attribute], "softmax")
        first = named(self.stage.attributes[attribute], scores)[0]
        return {"attribute": attribute, "value": first["label"], "score": first["score"]}


def _sentence(template: str, attribute: str, value: str) -> str:
    """Put an attribute and its value into the template."""
    before, after = template.split("{value}")
    return (
        before.replace("{attribute}", attribute) + value + after.replace("{attribute}", attribute)
    )
