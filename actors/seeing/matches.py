"""Points that two pictures share, and what finds them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from actors.images import Picture
from actors.stage import Batching, Item


class Matches(NamedTuple):
    """Points of one picture and where they are in the other, the surest first.

    points  float32, (n, 2): x and y in pixels of the first picture's file, held upright.
    others  the same points in the other picture.
    scores  float32, (n,): 0..1.
    """

    points: np.ndarray
    others: np.ndarray
    scores: np.ndarray

    @classmethod
    def best_first(cls, points: Any, others: Any, scores: Any) -> "Matches":
        """Return matches in the order of their scores."""
        scores = np.asarray(scores, dtype=np.float32)
        order = np.argsort(-scores, kind="stable")
        pairs = [np.asarray(p, dtype=np.float32).reshape(-1, 2)[order] for p in (points, others)]
        return cls(pairs[0], pairs[1], scores[order])


class PairMatcher:
    """Finds the points that two pictures share.

    `show` what a picture is, once for each; `item` joins two that are shown; `match` compares.
    One pair at a time goes to the device: networks of this kind hold the likeness of every part of
    one picture to every part of the other, and some look at each other's padding.
    """

    batching = Batching("fixed", rows=1)
    side: int | None = None
    """Longest side, in pixels, that is looked at; None where pictures are not resized."""

    def show(self, picture: Picture) -> Any:
        """Return what is compared of a picture. Runs in threads; raises RowRejected."""
        raise NotImplementedError

    def item(self, first: Any, other: Any) -> Item:
        """Return the work of comparing two pictures that were shown."""
        return Item((first, other))

    def match(self, items: Sequence[Item]) -> list[Matches]:
        """Return the matches of each pair."""
        raise NotImplementedError
