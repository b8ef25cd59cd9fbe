"""Whether the trees of a stored gradient boosting stay inside their own arrays.

scikit-learn follows a node's indices without looking: in a damaged or crafted file they could lead
anywhere in memory, or in a circle. Ours always lead forward.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

BITS = 256
"""Categories are bits in eight words of 32."""


def are_sound(fitted: Any) -> bool:
    """Whether every index that predicting with a HistGradientBoosting... follows is in bounds."""
    if not hasattr(fitted, "_predictors"):
        return True
    columns = np.array(_columns(fitted))
    return all(_is_sound(tree, columns) for tree in _trees(fitted))


def _trees(fitted: Any) -> Iterator[Any]:
    for step in fitted._predictors:
        yield from step


def _columns(fitted: Any) -> list[bool]:
    """Per column that the trees see: whether it is a category that the model knows."""
    found = fitted._bin_mapper.is_categorical_
    seen = np.zeros((1, fitted.n_features_in_))
    width = seen.shape[1]
    if fitted._preprocessor is not None:
        width = fitted._preprocessor.transform(seen).shape[1]
    known = fitted._bin_mapper.bin_thresholds_
    if width != len(found) or width != len(known):
        raise ValueError(f"the trees see {len(found)} columns, and there are {width}")
    codes = [code for places in np.flatnonzero(found) for code in known[places]]
    if not all(0 <= code < BITS for code in codes):
        raise ValueError("a category's code has no bit")
    return [bool(one) for one in found]


def _is_sound(tree: Any, is_category: np.ndarray) -> bool:
    nodes = tree.nodes
    inner = np.flatnonzero(~nodes["is_leaf"].astype(bool))
    split = nodes[inner]
    forward = all(
        ((split[side] > inner) & (split[side] < len(nodes))).all() for side in ("left", "right")
    )
    in_table = ((split["feature_idx"] >= 0) & (split["feature_idx"] < len(is_category))).all()
    if not (len(nodes) and forward and in_table):
        return False
    by_category = split[split["is_categorical"].astype(bool)]
    sets = tree.raw_left_cat_bitsets
    return bool(
        is_category[by_category["feature_idx"]].all()
        and (by_category["bitset_idx"] < len(sets)).all()
        and sets.shape[1:] == (BITS // 32,)
    )
