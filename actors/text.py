"""Text as a stage receives it: what is refused, and how broken lines are joined again."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from actors.errors import RowRejected
from actors.stage import Row

TEXT = {"text": pa.string()}
"""What every text task reads."""

SPAN = pa.struct([("start", pa.int32()), ("end", pa.int32())])
"""A stretch of a text, in code points: from `start` up to, not including, `end`."""

# A word that was hyphenated at a line's end: lower case on both sides, so "Anglo-\nSaxon" stays.
HYPHENATED = re.compile(r"(?<=[^\W\d_])-\r?\n(?=[^\W\d_])")
# A line that begins an entry of a list or a form: "- x", "3. x", "Total due: x".
ENTRY = re.compile(r"\s*(?:[-*•–·]\s|\d{1,3}[.)]\s|[^\W\d_][\w .#/-]{0,30}:\s)")
PARAGRAPH_END = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+")


def text_of(row: Row, name: str = "text") -> str:
    """Return the row's text; raise RowRejected for null, another type, or broken Unicode."""
    text: Any = row[name]
    if text is None:
        raise RowRejected("null_input", f"column '{name}' is null, expected a text")
    if not isinstance(text, str):
        raise RowRejected("wrong_type", f"'{name}' is {type(text).__name__}, expected a text")
    if not text.isascii() and any(_is_surrogate(character) for character in set(text)):
        raise RowRejected(
            "invalid_text", f"'{name}' holds half a surrogate pair: not valid Unicode"
        )
    return text


def full_text_of(row: Row, name: str = "text") -> str:
    """Return the row's text; raise RowRejected also for a text without any visible character."""
    text = text_of(row, name)
    if not text.strip():
        raise RowRejected("empty_text", f"'{name}' is empty or only white space")
    return text


def not_blank(text: str | None) -> str | None:
    """Return an option's text as it is; raise ValueError for one without a visible character."""
    if text is not None and not text.strip():
        raise ValueError("is blank")
    return text


def texts_of(row: Row, name: str) -> list[str]:
    """Return the row's list of texts; raise RowRejected as `text_of` does, for it or one in it."""
    texts: Any = row[name]
    if texts is None:
        raise RowRejected("null_input", f"column '{name}' is null, expected a list of texts")
    if not isinstance(texts, Sequence) or isinstance(texts, (str, bytes)):
        raise RowRejected("wrong_type", f"'{name}' is {type(texts).__name__}, expected a list")
    return [text_of({f"{name}[{n}]": text}, f"{name}[{n}]") for n, text in enumerate(texts)]


def _is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


def unbroken(text: str) -> tuple[str, np.ndarray]:
    """Join the lines of `text`: breaks become spaces, hyphenated words become whole again.

    Returns the joined text and, for each of its code points, the position in `text`, with
    len(text) at the end: int64, one longer than the joined text.
    """
    cuts = [
        match.span() for match in HYPHENATED.finditer(text) if _is_one_word(text, *match.span())
    ]
    starts = [0, *(end for _, end in cuts)]
    ends = [*(start for start, _ in cuts), len(text)]
    kept = list(zip(starts, ends, strict=True))
    joined = "".join(text[a:b] for a, b in kept).replace("\n", " ").replace("\r", " ")
    return joined, np.concatenate([*(np.arange(a, b) for a, b in kept), [len(text)]])


def flowing(text: str, join: bool) -> tuple[str, np.ndarray]:
    """Return the text as a model reads it, its lines joined if `join`; and as `unbroken`, where its
    code points come from."""
    if join and "\n" in text:
        return unbroken(text)
    return text, np.arange(len(text) + 1)


def _is_one_word(text: str, start: int, end: int) -> bool:
    return text[start - 1].islower() and text[end].islower()


def paragraphs(text: str) -> list[tuple[int, int]]:
    """Return the spans between blank lines, in order, those of only white space left out."""
    ends = [match.span() for match in PARAGRAPH_END.finditer(text)]
    starts = [0, *(end for _, end in ends)]
    stops = [*(start for start, _ in ends), len(text)]
    return [(a, b) for a, b in zip(starts, stops, strict=True) if text[a:b].strip()]


def blocks(text: str) -> list[tuple[int, int]]:
    """Return the spans of what runs on: paragraphs, and each entry of those that are lists."""
    found: list[tuple[int, int]] = []
    for start, end in paragraphs(text):
        lines = [(start + m.start(), start + m.end()) for m in re.finditer(r".+", text[start:end])]
        found += _entries(text, lines)
    return found


def _entries(text: str, lines: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join the lines of a paragraph, but for those that begin an entry."""
    found: list[tuple[int, int]] = []
    for start, end in lines:
        if found and not ENTRY.match(text, start, end):
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the span without white space at its ends; it may come out empty (start == end)."""
    part = text[start:end]
    left = len(part) - len(part.lstrip())
    return start + left, max(start + left, start + len(part.rstrip()))
