"""Gathering the windows of a recording by voice."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from actors.speakers.voiceprint import unit

Vectors = NDArray[np.float32]
"""The voice in each window: (windows, size), each of length 1."""

MOST_COMPARED = 4_000
"""Windows that are compared each with each, 27 minutes of speech in windows every 0.4 s: 128 MB.
Of more, so many are taken evenly, and the others join the nearest voice."""


Seconds = NDArray[np.float32]
"""How much speech each window stands for: (windows,)."""

Group = NDArray[np.bool_]
"""Which windows belong to one speaker: (windows,)."""

MOST_ODD = 20
"""Groups of odd windows that are set aside in search of so many speakers."""


FAIR = 0.25
"""Part of an even share of the speech that each of a known number of speakers has, as a rule: the
odd windows of a long recording add up to more seconds than `least`, but not to that."""


@dataclass(frozen=True, slots=True)
class Gathering:
    """How windows are gathered.

    alike       groups are joined as long as their windows' mean cosine is at least this.
    speakers    how many there are, if that is known.
    most        most speakers.
    least       a group with less speech, in seconds, is no speaker of its own.
    """

    alike: float
    speakers: int | None = None
    most: int | None = None
    least: float = 0.0


def gather(vectors: Vectors, seconds: Seconds, how: Gathering) -> Vectors:
    """Return the voice of each speaker that is found: (speakers, size)."""
    step = -(-len(vectors) // MOST_COMPARED)
    sample, speech = vectors[::step], seconds[::step] * step
    groups = _groups(sample, speech, how)
    return unit(np.stack([sample[group].mean(axis=0) for group in groups]))


def _groups(vectors: Vectors, seconds: Seconds, how: Gathering) -> list[Group]:
    """Return each speaker's windows, the largest group first."""
    if len(vectors) == 1:
        return [np.ones(1, bool)]
    tree = linkage(vectors, "average", "cosine")
    if how.speakers is not None:
        return _so_many(tree, seconds, how.speakers, how.least)
    labels = fcluster(tree, 1 - how.alike, "distance")
    found = _largest(labels, seconds, how.least)
    if how.most is not None and len(found) > how.most:
        return _so_many(tree, seconds, how.most, how.least)
    return found or _largest(labels, seconds, 0.0)[:1]


def _so_many(tree: Any, seconds: Seconds, speakers: int, least: float) -> list[Group]:
    """Return so many groups, of a speaker's size if there are.

    The last two groups of the tree are often all speakers and a few odd windows; so it is cut lower
    and lower, until enough groups have FAIR of an even share of the speech, or else `least`.
    """
    cuts = range(speakers, min(speakers + MOST_ODD, len(seconds)) + 1)
    for enough in (max(least, FAIR * float(seconds.sum()) / speakers), least):
        for groups in cuts:
            found = _largest(fcluster(tree, groups, "maxclust"), seconds, enough)
            if len(found) >= speakers:
                return found[:speakers]
    return _largest(fcluster(tree, speakers, "maxclust"), seconds, 0.0)


def _largest(labels: NDArray[np.int32], seconds: Seconds, least: float) -> list[Group]:
    """Return the groups with at least so much speech, the largest first."""
    speech = np.bincount(labels, weights=seconds)
    order = [int(n) for n in np.argsort(-speech, kind="stable") if speech[n] > 0]
    return [labels == label for label in order if speech[label] >= least]
