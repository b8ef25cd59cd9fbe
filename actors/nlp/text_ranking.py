"""text-ranking: which documents fit a query best."""

from typing import ClassVar

import numpy as np
import pyarrow as pa

from actors.match_stage import MatchStage
from actors.stage import Columns, Defaults, Row, option
from actors.text import full_text_of, texts_of

RANKING = pa.list_(pa.struct([("index", pa.int32()), ("score", pa.float32())]))


class TextRanking(MatchStage):
    """Orders documents by how well they answer a query, best first.

    `index` is the document's place in the row's list, from 0. With a text encoder the score is the
    cosine of the vectors (-1..1), with a cross-encoder, which reads query and document at once,
    what the model was trained to say, brought to 0..1 by a sigmoid. An empty list has an empty
    ranking, an empty document is ranked as the model sees it; empty queries are rejected
    (empty_text), and lists with a null in them (null_input).
    """

    reads: ClassVar[Columns] = {"query": pa.string(), "documents": pa.list_(pa.string())}
    models: ClassVar[Defaults] = Defaults(
        hub="cross-encoder/ms-marco-MiniLM-L6-v2",
        licence="Apache-2.0",
        embedded="embedded:all-minilm-l6-v2",
    )
    sample: ClassVar[Row] = {
        "query": "How many people live in Berlin?",
        "documents": ["New York is famous for its museums.", "Berlin has 3.7 million inhabitants."],
    }

    top_k: int | None = option(None, "Most documents in `ranking`; default: all.", ge=1, le=100_000)

    @property
    def writes(self) -> Columns:
        """The documents' places, best first, and whether a text was cut."""
        return {"ranking": RANKING, "ranking_truncated": pa.bool_()}

    def sides(self, row: Row) -> tuple[str, list[str]]:
        """The query and the documents."""
        return full_text_of(row, "query"), texts_of(row, "documents")

    def answer(self, scores: np.ndarray, cut: bool) -> Row:
        """Order the documents; the earlier one first among equals."""
        best = np.argsort(-scores, kind="stable")[: self.top_k]
        ranking = [{"index": int(n), "score": float(scores[n])} for n in best]
        return {"ranking": ranking, "ranking_truncated": cut}
