"""Two texts in one window, as models read them that compare texts or answer questions.

Each text is turned into tokens once, however many others it meets; pairs and windows are slices of
its arrays between the tokenizer's own special tokens.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from actors.errors import RowRejected, StageFailed
from actors.texts.encoder import Encoder, Tokens


@dataclass(frozen=True, slots=True)
class Located:
    """A text's tokens, n of them, without special ones, and where they stand.

    ids      int64 (n,)
    offsets  start and end of each in the text, code points, int64 (n, 2)
    words    the number of the word that each belongs to, int64 (n,)
    """

    ids: np.ndarray
    offsets: np.ndarray
    words: np.ndarray


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which tokens of the second text a window holds, and where in the window they begin."""

    first: int
    last: int
    place: int


@dataclass(frozen=True, slots=True)
class Frame:
    """What the tokenizer puts before, between and after two texts, and how it numbers the texts.

    `types` is the token type of the marks before, the first text, the marks between, the second
    text and the marks after.
    """

    before: np.ndarray
    between: np.ndarray
    after: np.ndarray
    types: tuple[np.ndarray, int, np.ndarray, int, np.ndarray]

    @classmethod
    def of(cls, backend: Any) -> "Frame":
        """Read it from a pair that the tokenizer puts together."""
        found = backend.encode("a", "a")
        ids, types = (np.asarray(a, dtype=np.int64) for a in (found.ids, found.type_ids))
        texts = [n for n, text in enumerate(found.sequence_ids) if text is not None]
        if [found.sequence_ids[n] for n in (texts[0], texts[-1])] != [0, 1]:
            raise StageFailed("the tokenizer puts the second text before the first")
        a, b, c, d = _runs(found.sequence_ids)
        marks = (ids[:a], ids[b:c], ids[d:])
        return cls(*marks, (types[:a], int(types[a]), types[b:c], int(types[c]), types[d:]))

    @property
    def size(self) -> int:
        """The number of special tokens."""
        return len(self.before) + len(self.between) + len(self.after)

    def put(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids and types of a window."""
        ids = np.concatenate([self.before, first, self.between, second, self.after])
        a, b, c, d, e = self.types
        numbers = (a, np.full(len(first), b), c, np.full(len(second), d), e)
        return ids, np.concatenate(numbers).astype(np.int64)


def _runs(texts: Sequence[int | None]) -> tuple[int, int, int, int]:
    """Return where the first text begins and ends, and where the second does."""
    first = [n for n, text in enumerate(texts) if text == 0]
    second = [n for n, text in enumerate(texts) if text == 1]
    return first[0], first[-1] + 1, second[0], second[-1] + 1


class Pairs:
    """Puts two texts into one window of an encoder's length; safe in threads.

    cut      which text gives way where both do not fit: the second, the first, or the longer one,
             as transformers' truncation only_second, only_first and longest_first.
    """

    def __init__(
        self, encoder: Encoder, cut: Literal["first", "second", "longer"] = "longer"
    ) -> None:
        self.encoder = encoder
        self.cut = cut
        self.backend = copy.deepcopy(encoder.tokenizer.backend_tokenizer)
        self.backend.no_padding()
        self.backend.no_truncation()
        self.frame = Frame.of(self.backend)
        self.room = encoder.length - self.frame.size
        if self.room < 2:
            raise StageFailed(
                f"max_length {encoder.length} leaves no room beside {self.frame.size} marks"
            )

    def ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the tokens of each text, all of them, without special ones: int64."""
        found = self.backend.encode_batch_fast(list(texts), False, False)
        return [np.asarray(one.ids, dtype=np.int64) for one in found]

    def located(self, texts: Sequence[str]) -> list[Located]:
        """Return the tokens of each text, and where they stand."""
        return [_located(one) for one in self.backend.encode_batch(list(texts), False, False)]

    def pair(self, first: np.ndarray, second: np.ndarray) -> Tokens:
        """Return the window of two texts' ids; `cut` says whether some are left out.

        Raise RowRejected (too_long) where the text that must stay whole leaves the other no room.
        """
        a, b = self._shares(len(first), len(second))
        ids, types = self.frame.put(first[:a], second[:b])
        return Tokens(ids, cut=a < len(first) or b < len(second), types=types)

    def _shares(self, first: int, second: int) -> tuple[int, int]:
        """Return how many tokens of each text stay."""
        if first + second <= self.room:
            return first, second
        if self.cut == "first":
            return self._left(second), second
        if self.cut == "second":
            return first, self._left(first)
        return _longest_first(first, second, self.room)

    def _left(self, taken: int) -> int:
        """Return the room beside a text that must stay whole, at least one token."""
        if taken >= self.room:
            raise RowRejected(
                "too_long",
                f"a text of {taken} tokens must be read whole, beside another,"
                f" and the model takes {self.room} of both",
            )
        return self.room - taken

    def windows(self, first: np.ndarray, second: np.ndarray, overlap: int) -> list[Tokens]:
        """Return windows that each hold the first text, and together all of the second; none
        where that has no tokens. Their note is the Stretch.

        Neighbours share `overlap` tokens, or as many as still let them go on by half a window.
        Raise RowRejected (too_long) for a first text that takes more than half the room.
        """
        if len(first) > self.room // 2:
            raise RowRejected(
                "too_long",
                f"the first text has {len(first)} tokens, and it may have {self.room // 2}: half of"
                " what the model takes",
            )
        size = self.room - len(first)
        step = size - min(overlap, size // 2)
        starts = range(0, max(1, len(second) - size + step), step) if len(second) else ()
        return [self._window(first, second, start, size) for start in starts]

    def _window(self, first: np.ndarray, second: np.ndarray, start: int, size: int) -> Tokens:
        end = min(start + size, len(second))
        ids, types = self.frame.put(first, second[start:end])
        place = len(self.frame.before) + len(first) + len(self.frame.between)
        return Tokens(ids, note=Stretch(start, end, place), types=types)


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Cut the longer one; where the shorter has more than half the room too, both to half."""
    short = min(first, second)
    kept = short if short <= room // 2 else room // 2
    return (kept, room - kept) if first <= second else (room - kept, kept)


def _located(found: Any) -> Located:
    words = [-1 if word is None else word for word in found.word_ids]
    return Located(
        np.asarray(found.ids, dtype=np.int64),
        np.array(found.offsets, dtype=np.int64).reshape(-1, 2),
        np.array(words, dtype=np.int64),
    )
