"""Labels with their scores, as every classifier answers them."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from actors.stage import Row

SCORES = pa.list_(pa.struct([("label", pa.string()), ("score", pa.float32())]))
"""Labels with their scores, best first."""


def named(labels: Sequence[str], scores: np.ndarray) -> list[Row]:
    """Return every label with its score, best first; the earlier label first among equals."""
    best = np.argsort(-scores, kind="stable")
    return [{"label": labels[n], "score": float(scores[n])} for n in best]
