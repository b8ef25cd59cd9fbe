"""From Whisper's tokens to words with their times."""

from collections.abc import Sequence
from typing import Any

from actors.hearing.transcript import UNSPACED, Spoken

UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What a token decodes to that holds a part of a character's bytes."""


def words(
    tokenizer: Any, ids: Sequence[int], starts: Sequence[float], language: str | None
) -> list[Spoken]:
    """Group tokens to words: one begins with a space, or, where no spaces are written, with each
    whole character. Punctuation stays with the word before it. `starts` has one more than `ids`,
    the last one's end."""
    found: list[Spoken] = []
    begun = 0
    for place in range(len(ids)):
        piece = tokenizer.decode(ids[begun : place + 1], skip_special_tokens=True)
        if UNFINISHED in piece and place + 1 < len(ids):
            continue
        _add(found, Spoken(piece, starts[begun], starts[place + 1]), language in UNSPACED)
        begun = place + 1
    return found


def _add(found: list[Spoken], piece: Spoken, unspaced: bool) -> None:
    """Begin a word with a piece, or lengthen the last one; punctuation takes no time."""
    letters = any(character.isalnum() for character in piece.text)
    apart = unspaced or piece.text.startswith(" ") or (found and found[-1].text.endswith(" "))
    if not found or (letters and apart):
        found.append(piece)
        return
    last = found.pop()
    end = piece.end if letters else last.end
    found.append(Spoken(last.text + piece.text, last.start, end))
