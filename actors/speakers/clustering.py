"""Gathering the windows of a recording by voice."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering

from actors.speakers.voiceprint import unit

Vectors = NDArray[np.float32]
"""The voice in each window: (windows, size), each of length 1."""

MOST_COMPARED = 4_000
"""Windows that are compared each with each, 27 minutes of speech in windows every 0.4 s: 128 MB.
Of more, so many are taken evenly, and the others join the nearest voice."""


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


def gather(vectors: Vectors, seconds: NDArray[np.float32], how: Gathering) -> Vectors:
    """Return the voice of each speaker that is found: (speakers, size).

    `seconds`, (windows,), is how much speech each window stands for.
    """
    step = -(-len(vectors) // MOST_COMPARED)
    sample = vectors[::step]
    labels = _labels(sample, how)
    speech = np.bincount(labels, weights=seconds[::step] * step)
    kept = np.flatnonzero(speech >= how.least) if how.speakers is None else np.unique(labels)
    if not len(kept):
        kept = np.array([speech.argmax()])
    return unit(np.stack([sample[labels == label].mean(axis=0) for label in kept]))


def _labels(vectors: Vectors, how: Gathering) -> NDArray[np.int64]:
    """Number each window's group."""
    if len(vectors) == 1 or how.speakers == 1:
        return np.zeros(len(vectors), np.int64)
    if how.speakers is not None:
        return _cut(vectors, min(how.speakers, len(vectors)), None)
    found = _cut(vectors, None, 1 - how.alike)
    if how.most is not None and found.max() + 1 > how.most:
        return _cut(vectors, how.most, None)
    return found


def _cut(vectors: Vectors, groups: int | None, far: float | None) -> NDArray[np.int64]:
    """Join the nearest groups, by their windows' mean cosine, until so few or so far apart."""
    clustering = AgglomerativeClustering(
        n_clusters=groups, distance_threshold=far, metric="cosine", linkage="average"
    )
    labels: NDArray[np.int64] = clustering.fit_predict(vectors)
    return labels
