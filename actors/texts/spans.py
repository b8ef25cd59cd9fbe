"""The likeliest stretch of a text, out of what a model says of where it begins and ends.

A long text is read in windows that overlap. A model's outputs are turned into probabilities over
all windows at once, so scores of different windows can be compared: were each window by itself made
to sum to 1, one that holds no answer would be as sure of its best guess as one that does.

    share of a stretch = sum over windows of  exp(start + end)  /  Z
    Z                  = sum over windows of  (sum of exp(start)) x (sum of exp(end))

Where a model can say "no answer" (by its first mark), that place counts in one window alone: the
one that is least sure of it, since every window beside the answer says so rightly. For a text of
one window this is the product of two softmaxes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model says of one window.

    first   the window's first token, counted in the text
    starts  logit of each token to begin the answer, float32 (n,)
    ends    logit of each token to end it, float32 (n,)
    none    logits of "no answer" as start and end, or None for a model that cannot say so
    """

    first: int
    starts: np.ndarray
    ends: np.ndarray
    none: tuple[float, float] | None


def span_shares(windows: Sequence[Reading], most: int) -> tuple[np.ndarray, float | None]:
    """Return the share of each stretch, and that of "no answer".

    The shares are float32 (tokens, most): [i, k] is the stretch from token i to i + k, both in it.
    """
    tokens = max(window.first + len(window.starts) for window in windows)
    powers, total = _powers(windows)
    shares = np.zeros((tokens, most), dtype=np.float32)
    for window, (starts, ends, _) in zip(windows, powers, strict=True):
        padded = np.concatenate([ends, np.zeros(most - 1)])
        later = sliding_window_view(padded, most)
        shares[window.first : window.first + len(starts)] += starts[:, None] * later / total
    none = [start * end for _, _, (start, end) in powers]
    return shares, None if windows[0].none is None else float(sum(none) / total)


Powers = tuple[np.ndarray, np.ndarray, tuple[float, float]]
"""Of a window: exp of starts, of ends, and of "no answer" (0 where that does not count)."""


def _powers(windows: Sequence[Reading]) -> tuple[list[Powers], float]:
    """Return each window's exponentials, shifted alike, and Z."""
    nones = [sum(window.none) if window.none else 0.0 for window in windows]
    least = int(np.argmin(nones))
    counted = [window.none if n == least else None for n, window in enumerate(windows)]
    of_start = max(_largest(w.starts, c and c[0]) for w, c in zip(windows, counted, strict=True))
    of_end = max(_largest(w.ends, c and c[1]) for w, c in zip(windows, counted, strict=True))
    found: list[Powers] = []
    for window, none in zip(windows, counted, strict=True):
        starts = np.exp(window.starts.astype(np.float64) - of_start)
        ends = np.exp(window.ends.astype(np.float64) - of_end)
        zero = (np.exp(none[0] - of_start), np.exp(none[1] - of_end)) if none else (0.0, 0.0)
        found.append((starts, ends, zero))
    return found, sum((a.sum() + c[0]) * (b.sum() + c[1]) for a, b, c in found)


def _largest(logits: np.ndarray, none: float | None) -> float:
    largest = float(logits.max())
    return largest if none is None else max(largest, none)


def likeliest(shares: np.ndarray) -> Iterator[tuple[int, int, float]]:
    """Yield stretches from the likeliest down: first token, last token, share."""
    flat = shares.ravel()
    done, wanted = 0, 64  # a handful is asked for; sorting all of a book's would take a second
    while done < len(flat):
        wanted = min(wanted, len(flat))
        found = np.argpartition(-flat, wanted - 1)[:wanted]
        found = found[np.lexsort((found, -flat[found]))]
        for place in found[done:]:
            start, more = divmod(int(place), shares.shape[1])
            if flat[place] <= 0:
                return
            yield start, start + more, float(flat[place])
        done, wanted = wanted, wanted * 8


def whole_words(offsets: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Return, per token, where its word begins and ends in the text: int64 (n, 2).

    `words` numbers the word of each token. A tokenizer that knows only one word knows none: then
    each token stands for itself.
    """
    if not len(words) or (words == words[0]).all():
        return offsets
    begins = np.flatnonzero(np.concatenate([[True], words[1:] != words[:-1]]))
    lengths = np.diff([*begins, len(words)])
    starts, ends = offsets[begins, 0], offsets[begins + lengths - 1, 1]
    return np.repeat(np.stack([starts, ends], axis=1), lengths, axis=0)
