"""zero-shot-classification: which of your own labels fits a text, without training."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from actors.architecture import is_made_for, is_text_encoder, why_not
from actors.errors import RowRejected, StageFailed
from actors.label_stage import LABELS, LABELS_TYPE, LabelStage
from actors.scores import BEST, named, softmax
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option
from actors.text import TEXT, full_text_of
from actors.text_stage import TextStage
from actors.texts.inference_labels import kinds_of, labels_of

if TYPE_CHECKING:
    from actors.texts.encoder import Tokens
    from actors.texts.pairs import Pairs
    from actors.texts.sentence_encoder import SentenceEncoder

HYPOTHESIS = "This example is {}."
"""What a label is put into for a model of inference: as transformers' own pipeline does."""

ALONE = "{}"
"""What a label is put into for a text encoder: nothing; a sentence around it made no difference to
20 sentences on 4 topics (benchmarks/quality_text.py)."""

TEMPERATURE = 0.05
"""sentence-transformers trains its encoders with cosines times 20 in the softmax: 1 / 20."""


class ZeroShotClassification(LabelStage, TextStage):
    """Says which of your own labels fits a text, without training.

    The labels are those of the option, or of the row where it has `candidate_labels`. `scores` are
    all of them, best first. What a score means follows from the model:

    - A model of inference says how surely the text entails the label's sentence: a softmax over the
      labels, or with `multi_label` each label's probability against contradiction.
    - A text encoder compares the vectors of text and label: a softmax over the labels of cosine /
      `temperature`, or with `multi_label` the cosine itself, 0 where it is negative. Neither is a
      calibrated probability.

    Empty texts are rejected (empty_text), and rows whose own labels are too few, blank or twice
    there (bad_labels), or longer than the model reads (too_long).
    """

    reads: ClassVar[Columns] = {**TEXT, LABELS: LABELS_TYPE}
    optional_reads: ClassVar[frozenset[str]] = frozenset({LABELS})
    models: ClassVar[Defaults] = Defaults(
        hub="MoritzLaurer/deberta-v3-base-zeroshot-v2.0",
        licence="MIT",
        embedded="embedded:all-minilm-l6-v2",
    )
    example: ClassVar[Mapping[str, Any]] = {"labels": ("politics", "sport", "science")}
    sample: ClassVar[Row] = {"text": "The goalkeeper saved a penalty in the last minute."}

    labels: tuple[str, ...] = option(
        ...,
        "The labels to choose from: two or more, or one with multi_label.",
        min_length=1,
        max_length=1_000,
    )
    multi_label: bool = option(False, "Score each label by itself: several may fit, or none.")
    hypothesis_template: str | None = option(
        None,
        "The sentence that a label is put into, at {}; default: 'This example is {}.' for a model"
        " of inference, the label alone for a text encoder.",
    )
    temperature: float = option(
        TEMPERATURE,
        "Text encoders without multi_label: a smaller one makes the best label's score larger.",
        gt=0,
        le=10,
    )

    @model_validator(mode="after")
    def _options_go_together(self) -> "ZeroShotClassification":
        if self.multi_label and self.temperature != TEMPERATURE:
            raise ValueError("temperature does nothing with multi_label: leave one of them out")
        return self

    def fault(self, labels: Sequence[str]) -> str | None:
        """Say why these labels cannot be chosen from, or None: with multi_label one is enough."""
        if self.multi_label and len(labels) == 1:
            return None if labels[0].strip() else "a label is blank"
        return super().fault(labels)

    @property
    def writes(self) -> Columns:
        """The best label, its score, all scores, and whether the text was cut."""
        return {**BEST, "label_truncated": pa.bool_()}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models of inference and text encoders."""
        if is_text_encoder(config):
            return None
        if not is_made_for(config, "ForSequenceClassification"):
            needed = "a model of inference (...ForSequenceClassification) or a text encoder"
            return why_not("zero-shot-classification", needed, config)
        if "entailment" in kinds_of(config) and len(config["id2label"]) > 1:
            return None
        return (
            "zero-shot-classification needs a model of inference, with the label 'entailment'"
            f" beside others; the labels in the model's config.json are: {labels_of(config)}"
        )

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load whichever kind of model the folder holds."""
        from transformers import AutoConfig, AutoModelForSequenceClassification

        from actors.checkpoint import load_model
        from actors.texts.encoder import Encoder
        from actors.texts.pairs import Pairs
        from actors.texts.sentence_encoder import SentenceEncoder

        config = AutoConfig.from_pretrained(files.folder, local_files_only=True)
        if is_text_encoder(config.to_dict()):
            sentences = SentenceEncoder(files.folder, device, max_length=self.max_length)
            return ByMeaning(self, sentences)
        model = load_model(AutoModelForSequenceClassification, files.folder, device)
        encoder = Encoder(model, files.folder, device, self.max_length)
        return ByInference(self, Pairs(encoder, cut="first"))

    def answer(self, row: Row, scores: np.ndarray, cut: bool) -> Row:
        """Return the columns from the scores of the row's labels."""
        found = named(self.own_labels(row) or self.labels, scores)
        return {**found[0], "scores": found, "label_truncated": cut}


class ByInference(Model):
    """A model of inference: the text is the premise, each label's sentence a hypothesis."""

    def __init__(self, stage: ZeroShotClassification, pairs: "Pairs") -> None:
        self.stage = stage
        self.pairs = pairs
        self.batching = pairs.encoder.batching
        config = pairs.encoder.model.config
        kinds = kinds_of(config.to_dict())
        self.entailed = kinds["entailment"]
        others = [number for number in range(config.num_labels) if number != self.entailed]
        # Models of two labels call the other one "not_entailment".
        self.denied = kinds.get("contradiction", others[0])
        self.hypotheses = pairs.ids(stage.sentences(stage.labels, HYPOTHESIS))
        longest = max(map(len, self.hypotheses))
        if longest >= pairs.room:
            raise StageFailed(f"a label of {longest} tokens leaves the text no room")

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per label: the text, cut if need be, and the label's sentence."""
        texts = self.pairs.ids([full_text_of(row) for row in rows])
        return [
            [self._item(text, hypothesis) for hypothesis in self._hypotheses(row)]
            for row, text in zip(rows, texts, strict=True)
        ]

    def _hypotheses(self, row: Row) -> list[np.ndarray]:
        own = self.stage.own_labels(row)
        return self.pairs.ids(self.stage.sentences(own, HYPOTHESIS)) if own else self.hypotheses

    def _item(self, text: np.ndarray, hypothesis: np.ndarray) -> Item:
        tokens = self.pairs.pair(text, hypothesis)
        return self.pairs.encoder.check_length(tokens, self.stage.too_long).item()

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: the logits of denial and entailment, and whether the text was cut."""
        logits = self.pairs.encoder.logits(items)[:, [self.denied, self.entailed]]
        return [(row, item.data.cut) for row, item in zip(logits, items, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Score each label by itself, or against the others."""
        logits = np.stack([pair for pair, _ in outputs])
        scores = softmax(logits)[:, 1] if self.stage.multi_label else softmax(logits[:, 1])
        return self.stage.answer(row, scores, any(cut for _, cut in outputs))


class ByMeaning(Model):
    """A text encoder: the nearer a label's vector to the text's, the better it fits."""

    def __init__(self, stage: ZeroShotClassification, sentences: "SentenceEncoder") -> None:
        self.stage = stage
        self.encoder = sentences
        self.batching = sentences.batching
        found = sentences.encoder.encode(stage.sentences(stage.labels, ALONE))
        if any(label.cut for label in found):
            raise StageFailed(f"a label has more than {sentences.encoder.length} tokens")
        # One by one, for padding is not exact with every model.
        self.vectors = np.concatenate([sentences.vectors([label.item()]) for label in found])

    def _items(self, text: "Tokens", labels: Sequence["Tokens"]) -> list[Item]:
        encoder = self.encoder.encoder
        if any(label.cut for label in labels):
            message = f"a label has more than {encoder.length} tokens, and is read whole or not"
            raise RowRejected("too_long", message)
        text = encoder.check_length(text, self.stage.too_long)
        return [one.item() for one in (text, *labels)]

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item for the text, and one for each label that the row brings."""
        own = [self.stage.sentences(self.stage.own_labels(row) or (), ALONE) for row in rows]
        texts = [[full_text_of(row), *labels] for row, labels in zip(rows, own, strict=True)]
        found = iter(self.encoder.encoder.encode([text for row in texts for text in row]))
        return [self._items(next(found), [next(found) for _ in row[1:]]) for row in texts]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: its vector, and whether it was cut."""
        vectors = self.encoder.vectors(items)
        return [(vector, item.data.cut) for vector, item in zip(vectors, items, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Compare the text's vector with the labels'."""
        (text, cut), *own = outputs
        labels = np.stack([vector for vector, _ in own]) if own else self.vectors
        cosines = labels @ text
        alone = np.clip(cosines, 0, 1)
        scores = alone if self.stage.multi_label else softmax(cosines / self.stage.temperature)
        return self.stage.answer(row, scores, bool(cut))
