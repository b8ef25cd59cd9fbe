"""How well texts match one text: by their vectors, or by a model that reads each pair."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from actors.architecture import is_made_for, is_text_encoder, why_not
from actors.pair_stage import PairStage
from actors.scores import sigmoid
from actors.stage import Device, Item, Model, ModelFiles, Row, option

if TYPE_CHECKING:
    from actors.texts.pairs import Pairs
    from actors.texts.sentence_encoder import SentenceEncoder

NEEDED = "a text encoder, or a ...ForSequenceClassification model with one label (a cross-encoder)"


class MatchStage(PairStage):
    """Base of tasks that compare one text with others; the model decides how."""

    activation: Literal["sigmoid", "none"] = option(
        "sigmoid",
        "Cross-encoders: a score of 0..1, or the model's plain number. (A cosine stays as it is.)",
    )

    def sides(self, row: Row) -> tuple[str, list[str]]:
        """Return the row's one text and those that it is compared with."""
        raise NotImplementedError

    def answer(self, scores: np.ndarray, cut: bool) -> Row:
        """Return the columns from the scores (float32, one per compared text)."""
        raise NotImplementedError

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept text encoders and cross-encoders."""
        one = len(config.get("id2label") or {}) == 1
        if is_text_encoder(config) or (is_made_for(config, "ForSequenceClassification") and one):
            return None
        return why_not("comparing texts", NEEDED, config)

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
            return ByVectors(self, sentences)
        model = load_model(AutoModelForSequenceClassification, files.folder, device)
        return ByPairs(self, Pairs(Encoder(model, files.folder, device, self.max_length)))


class ByVectors(Model):
    """Cosines of the texts' vectors."""

    def __init__(self, stage: MatchStage, sentences: "SentenceEncoder") -> None:
        self.stage = stage
        self.sentences = sentences
        self.batching = sentences.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per text, the one text first; none where nothing is compared with it."""
        texts = [[one, *others] if others else [] for one, others in map(self.stage.sides, rows)]
        encoder = self.sentences.encoder
        found = iter(encoder.encode([text for row in texts for text in row]))
        return [
            [encoder.check_length(next(found), self.stage.too_long).item() for _ in row]
            for row in texts
        ]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: the text's vector, and whether it was cut."""
        vectors = self.sentences.vectors(items)
        return [(vector, item.data.cut) for vector, item in zip(vectors, items, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Compare the vectors, which have length 1."""
        if not outputs:
            return self.stage.answer(np.zeros(0, np.float32), False)
        one, *others = (vector for vector, _ in outputs)
        # Rounding may take the cosine of a text with itself past 1 by 1e-7.
        scores = np.clip(np.stack(others) @ one, -1, 1)
        return self.stage.answer(scores, any(cut for _, cut in outputs))


class ByPairs(Model):
    """What a cross-encoder says of each pair."""

    def __init__(self, stage: MatchStage, pairs: "Pairs") -> None:
        self.stage = stage
        self.pairs = pairs
        self.batching = pairs.encoder.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per compared text: the two in one window."""
        texts = [[one, *others] for one, others in map(self.stage.sides, rows)]
        found = iter(self.pairs.ids([text for row in texts for text in row]))
        ids = [[next(found) for _ in row] for row in texts]
        return [[self._item(one, other) for other in others] for one, *others in ids]

    def _item(self, one: np.ndarray, other: np.ndarray) -> Item:
        tokens = self.pairs.pair(one, other)
        return self.pairs.encoder.check_length(tokens, self.stage.too_long).item()

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: the pair's score, and whether it was cut."""
        logits = self.pairs.encoder.logits(items)[:, 0]
        scores = sigmoid(logits) if self.stage.activation == "sigmoid" else logits
        return [(score, item.data.cut) for score, item in zip(scores, items, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The items' scores are the answer."""
        scores = np.array([score for score, _ in outputs], np.float32)
        return self.stage.answer(scores, any(cut for _, cut in outputs))
