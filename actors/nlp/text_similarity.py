"""text-similarity: how alike two texts are in meaning."""

from typing import ClassVar

import numpy as np
import pyarrow as pa

from actors.match_stage import MatchStage
from actors.stage import Columns, Defaults, Row
from actors.text import full_text_of


class TextSimilarity(MatchStage):
    """Says how alike two texts are in meaning.

    With a text encoder, `similarity` is the cosine of the texts' vectors (-1..1; unrelated texts
    are near 0). With a cross-encoder, which reads both texts at once, it is what the model was
    trained to say, brought to 0..1 by a sigmoid. Empty texts are rejected (empty_text).
    """

    reads: ClassVar[Columns] = {"text": pa.string(), "other_text": pa.string()}
    models: ClassVar[Defaults] = Defaults(
        hub="sentence-transformers/all-MiniLM-L6-v2",
        licence="Apache-2.0",
        embedded="embedded:all-minilm-l6-v2",
    )
    sample: ClassVar[Row] = {"text": "A man is eating food.", "other_text": "Someone eats a meal."}

    @property
    def writes(self) -> Columns:
        """The similarity, and whether a text was cut."""
        return {"similarity": pa.float32(), "similarity_truncated": pa.bool_()}

    def sides(self, row: Row) -> tuple[str, list[str]]:
        """The one text and the other."""
        return full_text_of(row), [full_text_of(row, "other_text")]

    def answer(self, scores: np.ndarray, cut: bool) -> Row:
        """The only score is the answer."""
        return {"similarity": float(scores[0]), "similarity_truncated": cut}
