"""What good pictures look like: a bank of vectors, and how far others are from them."""

import numpy as np
import torch
from torch import Tensor

# Distances held at once: 64 MB.
AT_ONCE = 1 << 24
# Numbers that vectors are projected to while a bank is thinned: distances keep within some 10 %
# (Johnson and Lindenstrauss), and it takes a third of the time.
PROJECTED = 64


class Bank:
    """Vectors of places of good pictures: float32, (vectors, size)."""

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors
        self.squares = vectors.square().sum(1)

    def distances(self, places: Tensor) -> Tensor:
        """Return each place's distance to the nearest vector: (places, size) -> (places,)."""
        rows = max(1, AT_ONCE // len(self.vectors))
        parts = [places[n : n + rows] for n in range(0, len(places), rows)]
        return torch.cat([self._nearest(part) for part in parts])

    def _nearest(self, places: Tensor) -> Tensor:
        # The products find the nearest; the distance itself is taken from the difference, which
        # loses no digits where the two are alike.
        found = (self.squares - 2 * (places @ self.vectors.T)).argmin(1)
        far: Tensor = torch.linalg.vector_norm(places - self.vectors[found], dim=1)
        return far


class Sample:
    """An even sample of the vectors of a stream, of at most `most`: the same for the same seed."""

    def __init__(self, most: int, seed: int) -> None:
        self.most = most
        self.seen = 0
        self._chance = np.random.default_rng(seed)
        self._keys = np.empty(0)
        self._vectors: np.ndarray | None = None

    def add(self, vectors: np.ndarray) -> None:
        """Take vectors in, float32 (vectors, size); each stays with the same likelihood."""
        self.seen += len(vectors)
        keys = np.concatenate([self._keys, self._chance.random(len(vectors))])
        old = [] if self._vectors is None else [self._vectors]
        joined = np.concatenate([*old, vectors])
        if len(keys) > self.most:
            kept = np.sort(np.argpartition(keys, self.most)[: self.most])
            keys, joined = keys[kept], joined[kept]
        self._keys, self._vectors = keys, joined

    @property
    def vectors(self) -> np.ndarray:
        """What was kept, in the order of the stream: float32, (vectors, size)."""
        return np.empty((0, 0), np.float32) if self._vectors is None else self._vectors


def thinned(vectors: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Return at most `most` of the vectors, such that each of the others is near one of them.

    Greedy: each time the vector that is farthest from all chosen ones (PatchCore's coreset), by
    distances in a random projection.
    """
    if len(vectors) <= most:
        return vectors
    chance = np.random.default_rng(seed)
    width = min(PROJECTED, vectors.shape[1])
    thin = vectors @ chance.standard_normal((vectors.shape[1], width)).astype(np.float32)
    squares = np.square(thin).sum(1)
    chosen = [int(chance.integers(len(thin)))]
    far = np.full(len(thin), np.inf, np.float32)
    while len(chosen) < most:
        last = chosen[-1]
        np.minimum(far, squares - 2 * (thin @ thin[last]) + squares[last], out=far)
        far[chosen[-1]] = -1
        chosen.append(int(far.argmax()))
    kept: np.ndarray = vectors[np.sort(chosen)]
    return kept
