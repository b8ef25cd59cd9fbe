"""natural-language-inference: whether one text follows from another."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from actors.architecture import is_made_for, why_not
from actors.pair_stage import PairStage
from actors.scores import BEST, named, softmax
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row
from actors.text import full_text_of
from actors.texts.inference_labels import KINDS, kinds_of, labels_of

if TYPE_CHECKING:
    from actors.texts.pairs import Pairs


class NaturalLanguageInference(PairStage):
    """Says whether a premise entails a hypothesis, contradicts it, or leaves it open (neutral).

    `label` and `score` are the likeliest of the three; `scores` are the probabilities (0..1) of all
    three, likeliest first, and `p_entailment` that of entailment. Empty texts are rejected
    (empty_text).
    """

    reads: ClassVar[Columns] = {"premise": pa.string(), "hypothesis": pa.string()}
    models: ClassVar[Defaults] = Defaults(
        hub="cross-encoder/nli-deberta-v3-base", licence="Apache-2.0"
    )
    sample: ClassVar[Row] = {
        "premise": "A man inspects the uniform of a figure.",
        "hypothesis": "The man is asleep.",
    }

    @property
    def writes(self) -> Columns:
        """The likeliest answer, all three, and whether the texts were cut."""
        return {**BEST, "p_entailment": pa.float32(), "label_truncated": pa.bool_()}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept classifiers whose labels are the three kinds, in any order and case."""
        if not is_made_for(config, "ForSequenceClassification"):
            needed = "a ...ForSequenceClassification model"
            return why_not("natural-language-inference", needed, config)
        if len(kinds_of(config)) == len(config["id2label"] or {}) == len(KINDS):
            return None
        return (
            f"natural-language-inference needs a model with the labels {', '.join(KINDS)};"
            f" the labels in the model's config.json are: {labels_of(config)}"
        )

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the classifier."""
        from transformers import AutoModelForSequenceClassification

        from actors.checkpoint import load_model
        from actors.texts.encoder import Encoder
        from actors.texts.pairs import Pairs

        model = load_model(AutoModelForSequenceClassification, files.folder, device)
        return Inference(self, Pairs(Encoder(model, files.folder, device, self.max_length)))


class Inference(Model):
    """A loaded classifier of pairs."""

    def __init__(self, stage: NaturalLanguageInference, pairs: "Pairs") -> None:
        self.stage = stage
        self.pairs = pairs
        self.batching = pairs.encoder.batching
        kinds = kinds_of(pairs.encoder.model.config.to_dict())
        self.order = [kinds[kind] for kind in KINDS]

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per row: premise and hypothesis in one window."""
        encoder = self.pairs.encoder
        premises = self.pairs.ids([full_text_of(row, "premise") for row in rows])
        hypotheses = self.pairs.ids([full_text_of(row, "hypothesis") for row in rows])
        found = [self.pairs.pair(a, b) for a, b in zip(premises, hypotheses, strict=True)]
        return [[encoder.check_length(one, self.stage.too_long).item()] for one in found]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: the probabilities in the order of KINDS, and whether the texts were cut."""
        scores = softmax(self.pairs.encoder.logits(items))[:, self.order]
        return [(row, item.data.cut) for row, item in zip(scores, items, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Name the likeliest."""
        ((scores, cut),) = outputs
        found = named(list(KINDS), np.asarray(scores))
        return {
            **found[0],
            "scores": found,
            "p_entailment": float(scores[0]),
            "label_truncated": cut,
        }
