"""A long recording in parts that a model can hear at once, and sources joined again."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from actors.sound import Samples

Sources = NDArray[np.float32]
"""float32, (sources, samples)."""


def window_starts(length: int, window: int, overlap: int) -> list[int]:
    """Return where windows of equal size start; the last one ends with the recording, and a
    shorter recording is one window of its own length. All in samples."""
    if length <= window:
        return [0]
    return [*range(0, length - window, window - overlap), length - window]


def quiet_parts(samples: Samples, rate: int, longest: float) -> list[Samples]:
    """Cut a recording into parts of `longest` seconds at most, at the quietest 20 ms of their
    second halves; the last one is a quarter of that or longer."""
    most, step = round(longest * rate), max(1, rate // 50)
    parts = []
    while len(samples) > most:
        near = samples[most // 2 : min(most, len(samples) - most // 4)]
        loud = np.square(near[: len(near) // step * step].reshape(-1, step)).sum(axis=1)
        cut = most // 2 + int(loud.argmin()) * step + step // 2
        parts.append(samples[:cut])
        samples = samples[cut:]
    return [*parts, samples]


def scaled(sources: Sources, mixture: Samples) -> Sources:
    """Return the sources as loud as they are in the mixture: at the gains by which their sum comes
    nearest to it. Separators are mostly trained without regard to loudness."""
    gains, *_ = np.linalg.lstsq(sources.T, mixture, rcond=1e-5)
    found: Sources = (sources * gains[:, None]).astype(np.float32)
    return found


def join(parts: Sequence[Sources], starts: Sequence[int]) -> Sources:
    """Return the whole recording's sources.

    A window's sources come in any order: each goes on with the one that is most like it where the
    windows overlap, and fades into it.
    """
    whole = np.zeros((len(parts[0]), starts[-1] + parts[-1].shape[1]), np.float32)
    whole[:, : parts[0].shape[1]] = parts[0]
    end = parts[0].shape[1]
    for part, start in zip(parts[1:], starts[1:], strict=True):
        shared = end - start
        part = part[_order(whole[:, start:end], part[:, :shared])]
        fade = np.linspace(0, 1, shared, dtype=np.float32)
        whole[:, start:end] = whole[:, start:end] * (1 - fade) + part[:, :shared] * fade
        whole[:, end : start + part.shape[1]] = part[:, shared:]
        end = start + part.shape[1]
    return whole


def _order(before: Sources, after: Sources) -> NDArray[np.intp]:
    """Return, for each source before, the one after that is most like it, each taken once."""
    norms = np.linalg.norm(before, axis=1)[:, None] * np.linalg.norm(after, axis=1)
    likeness = before @ after.T / np.maximum(norms, 1e-12)
    order: NDArray[np.intp] = linear_sum_assignment(-likeness)[1]
    return order
