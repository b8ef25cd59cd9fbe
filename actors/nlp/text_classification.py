"""text-classification: which of a model's labels fit a text."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from actors.architecture import is_made_for, why_not
from actors.scores import BEST, ScoredStage, Scorer, usual_activation
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row
from actors.text import full_text_of
from actors.text_stage import TextStage

if TYPE_CHECKING:
    from actors.texts.encoder import Encoder


class TextClassification(ScoredStage, TextStage):
    """Says which of a model's labels fit a text, and how well.

    `label` and `score` are the best label; `scores` the best `top_k`, best first. Scores are
    probabilities (0..1): over all labels together, or of each label by itself where the model's
    problem_type says that several may hold; a regression model's score is its plain number. Empty
    texts are rejected (empty_text).
    """

    aliases: ClassVar[tuple[str, ...]] = ("sentiment-analysis",)
    models: ClassVar[Defaults] = Defaults(
        hub="distilbert/distilbert-base-uncased-finetuned-sst-2-english", licence="Apache-2.0"
    )

    @property
    def writes(self) -> Columns:
        """The best label, its score, the best few, and whether the text was cut."""
        return {**BEST, "label_truncated": pa.bool_()}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models that were trained to classify sequences."""
        if is_made_for(config, "ForSequenceClassification"):
            return None
        return why_not("text-classification", "a ...ForSequenceClassification model", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the classifier."""
        from transformers import AutoModelForSequenceClassification

        from actors.checkpoint import load_model
        from actors.texts.encoder import Encoder

        model = load_model(AutoModelForSequenceClassification, files.folder, device)
        return Classifier(self, Encoder(model, files.folder, device, self.max_length))


class Classifier(Model):
    """A loaded text classifier."""

    def __init__(self, stage: TextClassification, encoder: "Encoder") -> None:
        self.stage = stage
        self.encoder = encoder
        self.batching = encoder.batching
        config = encoder.model.config
        labels = [config.id2label[number] for number in range(config.num_labels)]
        self.scorer = Scorer.of(stage, labels, usual_activation(config))

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per text: its tokens."""
        found = self.encoder.encode([full_text_of(row) for row in rows])
        return [[self.encoder.check_length(one, self.stage.too_long).item()] for one in found]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: scores (float32, one per label) and whether the text was cut."""
        scores = self.scorer.scores(self.encoder.logits(items))
        return [(row, item.data.cut) for row, item in zip(scores, items, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Name the best labels."""
        ((scores, cut),) = outputs
        return {**self.scorer.best(scores), "label_truncated": cut}
