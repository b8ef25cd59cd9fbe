"""From labels of tokens to entities: windows joined, words agreed on, neighbours grouped.

The words and groups are those of transformers' token-classification pipeline; windows are joined
before that, token by token, so an entity on a window's border is neither lost, cut nor repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.scores import softmax
from actors.stage import Item


@dataclass(frozen=True, slots=True)
class Window:
    """The tokens of a window without the special ones; n of them.

    tokens   ids, int64 (n,)
    offsets  start and end in the text, code points, int64 (n, 2)
    logits   float32 (n, labels)
    """

    tokens: np.ndarray
    offsets: np.ndarray
    logits: np.ndarray


def windows(items: Sequence[Item], logits: np.ndarray) -> list[Window]:
    """Return the window of each item of `Encoder.windows`, given the model's (padded) logits."""
    found = []
    for item, scores in zip(items, logits, strict=True):
        offsets, plain = item.data.note
        ids = item.data.ids
        found.append(Window(ids[plain], offsets[plain], scores[: len(ids)][plain]))
    return found


def join(windows: Sequence[Window], overlap: int) -> Window:
    """Return one window over the whole text.

    Of the `overlap` tokens that two neighbours share, each takes the half that lies further from
    its own border. A text's last window shares as many as the others.
    """
    if len(windows) == 1:
        return windows[0]
    early = overlap // 2
    parts = []
    for number, window in enumerate(windows):
        first = early if number else 0
        last = len(window.tokens) - (overlap - early if number < len(windows) - 1 else 0)
        parts.append([part[first:last] for part in (window.tokens, window.offsets, window.logits)])
    tokens, offsets, logits = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Window(tokens, offsets, logits)


@dataclass(frozen=True, slots=True)
class Tag:
    """A label read as a tag: its kind ("PER"), and whether it always begins a new entity."""

    kind: str
    begins: bool

    @classmethod
    def of(cls, label: str) -> "Tag":
        """Read "B-PER", "I-PER" or a label without a prefix, which never begins a new one."""
        plain = label[:2] not in ("B-", "I-")
        return cls(label if plain else label[2:], label.startswith("B-"))


@dataclass(frozen=True, slots=True)
class Words:
    """Where words start. WordPiece tokens tell by their length; others by white space.

    lengths  characters of each token's name by id, or None for tokenizers without WordPiece marks
    unknown  id of the token for unknown words, which is always a word by itself
    """

    lengths: np.ndarray | None
    unknown: int | None

    @classmethod
    def of(cls, tokenizer: Any) -> "Words":
        """Read them from a transformers tokenizer."""
        backend = tokenizer.backend_tokenizer
        if not getattr(backend.model, "continuing_subword_prefix", None):
            return cls(None, tokenizer.unk_token_id)
        names = backend.get_vocab(with_added_tokens=True)
        lengths = np.zeros(max(names.values()) + 1, dtype=np.int64)
        lengths[list(names.values())] = [len(name) for name in names]
        return cls(lengths, tokenizer.unk_token_id)

    def starts(self, text: str, window: Window) -> np.ndarray:
        """Return, per token, whether it starts a word: bool (n,)."""
        first, last = window.offsets.T
        if self.lengths is not None:
            starts = self.lengths[window.tokens] == last - first
        else:
            starts = np.array([a == 0 or " " in text[a - 1 : a + 1] for a in first], dtype=bool)
        starts |= window.tokens == self.unknown
        starts[:1] = True
        return np.asarray(starts)


def by_words(window: Window, starts: np.ndarray, aggregation: str) -> tuple[np.ndarray, np.ndarray]:
    """Return one row of probabilities and one span per word, as `aggregation` says.

    first: those of its first token; max: of its surest token; average: the mean of its tokens.
    """
    scores = softmax(window.logits)
    begins = np.flatnonzero(starts)
    if not len(begins):
        return scores, window.offsets
    ends = np.append(begins[1:], len(scores)) - 1
    offsets = np.stack([window.offsets[begins, 0], window.offsets[ends, 1]], axis=1)
    if aggregation == "first":
        return scores[begins], offsets
    if aggregation == "average":
        sizes = (ends - begins + 1).astype(np.float32)
        return np.add.reduceat(scores, begins) / sizes[:, None], offsets
    surest = [a + scores[a : b + 1].max(axis=1).argmax() for a, b in zip(begins, ends, strict=True)]
    return scores[surest], offsets


def group(scores: np.ndarray, offsets: np.ndarray, tags: Sequence[Tag]) -> list[dict[str, Any]]:
    """Join neighbours of one kind; return label, score (mean), start and end of each but "O"."""
    if not len(scores):
        return []
    best = scores.argmax(axis=1)
    kinds = {tag.kind: number for number, tag in enumerate(tags)}
    kind = np.array([kinds[tag.kind] for tag in tags])[best]
    starts = np.array([tag.begins for tag in tags])[best]
    starts[1:] |= kind[1:] != kind[:-1]
    starts[0] = True
    begins = np.flatnonzero(starts)
    ends = np.append(begins[1:], len(best))
    surest = scores[np.arange(len(best)), best]
    return [
        {
            "label": tags[best[a]].kind,
            "score": float(surest[a:b].mean()),
            "start": int(offsets[a, 0]),
            "end": int(offsets[b - 1, 1]),
        }
        for a, b in zip(begins, ends, strict=True)
        if tags[best[a]].kind != "O"
    ]
