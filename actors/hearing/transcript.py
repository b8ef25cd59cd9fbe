"""What was heard in a recording: the text, its segments and words, and when they were said."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from actors.stage import Columns, Row

TIMES = [pa.field("start", pa.float32()), pa.field("end", pa.float32())]

COLUMNS: Columns = {
    "text": pa.string(),
    "language": pa.string(),
    "segments": pa.list_(pa.struct([*TIMES, pa.field("text", pa.string())])),
    "words": pa.list_(pa.struct([pa.field("word", pa.string()), *TIMES])),
}
"""Text; its language's code; segments and words with their times in seconds."""

UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages that are written without spaces between words."""

PHRASE_GAP = 0.7
"""Seconds without a word that end a segment: longer than the breaths inside of a sentence."""

SENTENCE_ENDS = (".", "?", "!", "…", "。", "？", "！")
TITLES = ("mr.", "mrs.", "ms.", "dr.", "st.", "prof.")
"""What ends a sentence, and what seems to."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A piece of text, with the space before it if there is one, and when it was said: seconds
    from the recording's start."""

    text: str
    start: float
    end: float


def columns(
    text: str,
    language: str | None,
    segments: Sequence[Spoken] | None = None,
    words: Sequence[Spoken] | None = None,
) -> Row:
    """Return the columns of a row; null where something was not asked for."""
    return {
        "text": text,
        "language": language,
        "segments": None if segments is None else [_named(s, "text") for s in segments],
        "words": None if words is None else [_named(w, "word") for w in words],
    }


def text_of(pieces: Sequence[Spoken]) -> str:
    """Join pieces in order."""
    return "".join(piece.text for piece in pieces).strip()


def sentences(pieces: Sequence[Spoken]) -> list[Spoken]:
    """Join words to segments: sentences, or less where nothing is said for a while."""
    groups: list[list[Spoken]] = []
    for piece in pieces:
        if not groups or _ends(groups[-1][-1]) or piece.start - groups[-1][-1].end > PHRASE_GAP:
            groups.append([])
        groups[-1].append(piece)
    return [Spoken(text_of(group), group[0].start, group[-1].end) for group in groups]


def _ends(piece: Spoken) -> bool:
    word = piece.text.strip().rstrip("\"'”’»)").lower()
    return word.endswith(SENTENCE_ENDS) and word not in TITLES


def _named(spoken: Spoken, name: str) -> Row:
    return {name: spoken.text.strip(), "start": spoken.start, "end": spoken.end}
