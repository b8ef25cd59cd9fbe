"""fill-mask: the words that are missing in a text."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from actors.architecture import is_made_for, why_not
from actors.errors import RowRejected
from actors.scores import softmax
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option
from actors.text import full_text_of
from actors.text_stage import TextStage

if TYPE_CHECKING:
    from actors.texts.encoder import Encoder, Tokens

WORDS = pa.list_(pa.struct([("word", pa.string()), ("score", pa.float32())]))


class FillMask(TextStage):
    """Finds the words that are missing in a text, and how sure the model is of each (0..1).

    `gaps` holds the likeliest words of every gap, in the text's order, each gap found while the
    others stay open; `word` and `word_score` are the best of the first gap. Empty texts are
    rejected (empty_text), those without a gap (no_gap) and those with a gap that lies beyond what
    the model reads (too_long).
    """

    models: ClassVar[Defaults] = Defaults(
        hub="distilbert/distilbert-base-uncased", licence="Apache-2.0"
    )
    sample: ClassVar[Row] = {"text": "Paris is the ___ of France."}

    gap: str = option("___", "What stands in the text for a missing word.", min_length=1)
    top_k: int = option(5, "Words of each gap.", ge=1, le=1_000)

    @property
    def writes(self) -> Columns:
        """The best word of the first gap, the best few of all, and whether the text was cut."""
        return {
            "word": pa.string(),
            "word_score": pa.float32(),
            "gaps": pa.list_(WORDS),
            "word_truncated": pa.bool_(),
        }

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models that were trained to fill gaps; asked by `plan`, before any weights."""
        if is_made_for(config, "ForMaskedLM"):
            return None
        return why_not("fill-mask", "a ...ForMaskedLM model", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model."""
        from transformers import AutoModelForMaskedLM

        from actors.checkpoint import load_model
        from actors.texts.encoder import Encoder

        model = load_model(AutoModelForMaskedLM, files.folder, device)
        return Filler(self, Encoder(model, files.folder, device, self.max_length))


class Filler(Model):
    """A loaded masked language model."""

    def __init__(self, stage: FillMask, encoder: "Encoder") -> None:
        self.stage = stage
        self.encoder = encoder
        self.batching = encoder.batching
        self.mark, self.mask = encoder.tokenizer.mask_token, encoder.tokenizer.mask_token_id

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per text: its tokens."""
        texts = [full_text_of(row).replace(self.stage.gap, self.mark) for row in rows]
        found = zip(self.encoder.encode(texts), texts, strict=True)
        return [[self._checked(tokens, text).item()] for tokens, text in found]

    def _checked(self, tokens: "Tokens", text: str) -> "Tokens":
        gaps = text.count(self.mark)
        if not gaps:
            raise RowRejected("no_gap", f"the text has no '{self.stage.gap}'")
        if int((tokens.ids == self.mask).sum()) < gaps:
            raise RowRejected("too_long", f"a gap lies beyond {len(tokens.ids)} tokens")
        return self.encoder.check_length(tokens, self.stage.too_long)

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: for each gap the best tokens and their probabilities; whether it was cut."""
        found = [softmax(logits) for logits in self.encoder.logits_at(items, self.mask)]
        return [
            ([self._best(gap) for gap in gaps], item.data.cut)
            for gaps, item in zip(found, items, strict=True)
        ]

    def _best(self, scores: np.ndarray) -> list[tuple[int, float]]:
        # Sorting a whole vocabulary took a fifth of the time.
        few = min(self.stage.top_k, len(scores))
        good = np.flatnonzero(scores >= np.partition(scores, -few)[-few])
        best = good[np.argsort(-scores[good], kind="stable")][:few]
        return [(int(token), float(scores[token])) for token in best]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The only item's tokens, as words."""
        ((found, cut),) = outputs
        gaps = [[{"word": self._word(token), "score": s} for token, s in gap] for gap in found]
        first = gaps[0][0]
        return {
            "word": first["word"],
            "word_score": first["score"],
            "gaps": gaps,
            "word_truncated": cut,
        }

    def _word(self, token: int) -> str:
        return str(self.encoder.tokenizer.decode([token])).strip()
