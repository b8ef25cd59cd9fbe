"""Who said what: words or segments with times, given to the turns in which they were said."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Timed = Mapping[str, Any]
"""A dict with `start` and `end` in seconds, and more."""

NOBODY = "UNKNOWN"
"""The speaker of what was said where there is no turn at all."""

ENDS = (".", "?", "!", "…", "。", "？", "！")
"""Marks that end a sentence."""

MOST_OF = 2 / 3
"""Share of a sentence's words: Whisper lets a sentence's last word last through the pause after it,
into the next speaker's turn, so of three words one may be given away wrongly."""


def spoken(pieces: Sequence[Timed], turns: Sequence[Timed]) -> list[dict[str, Any]]:
    """Return utterances: neighbouring pieces (start, end, text) of one speaker, run together."""
    return _run_together((piece, speaker_of(piece, turns)) for piece in in_order(pieces))


def spoken_words(words: Sequence[Timed], turns: Sequence[Timed]) -> list[dict[str, Any]]:
    """As `spoken`, of single words with their marks: a sentence of which nearly all words are one
    speaker's is theirs whole."""
    return _run_together(
        (word, speaker)
        for sentence in _sentences(in_order(words))
        for word, speaker in zip(sentence, _speakers(sentence, turns), strict=True)
    )


def in_order(pieces: Sequence[Timed]) -> list[Timed]:
    """Sort by time."""
    return sorted(pieces, key=lambda one: (one["start"], one["end"]))


def _sentences(words: Sequence[Timed]) -> Iterator[list[Timed]]:
    """Cut after each mark that ends a sentence."""
    sentence: list[Timed] = []
    for word in words:
        sentence.append(word)
        if word["text"].rstrip().endswith(ENDS):
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _speakers(sentence: Sequence[Timed], turns: Sequence[Timed]) -> list[str]:
    """Return the speaker of each word."""
    each = [speaker_of(word, turns) for word in sentence]
    (first, count), *_ = Counter(each).most_common(1)
    ended = sentence[-1]["text"].rstrip().endswith(ENDS)
    return [first] * len(each) if ended and count >= MOST_OF * len(each) else each


def _run_together(named: Iterable[tuple[Timed, str]]) -> list[dict[str, Any]]:
    """Join neighbours of one speaker."""
    utterances: list[dict[str, Any]] = []
    for piece, speaker in named:
        text = piece["text"].strip()
        last = utterances[-1] if utterances else None
        if not text:
            continue
        if last and last["speaker"] == speaker:
            last["end"] = max(last["end"], piece["end"])
            last["text"] += " " + text
        else:
            times = {"start": piece["start"], "end": piece["end"]}
            utterances.append({"speaker": speaker, **times, "text": text})
    return utterances


def speaker_of(piece: Timed, turns: Sequence[Timed]) -> str:
    """Return the speaker whose turns share most time with a piece, else of the nearest turn.

    Of two who share as much, the one whose turn began last: who breaks in is heard.
    """
    if not turns:
        return NOBODY
    shares: dict[str, float] = {}
    for turn in turns:
        shares[turn["speaker"]] = shares.get(turn["speaker"], 0.0) + max(0.0, _shared(piece, turn))
    most = max(shares.values())
    if most > 0:
        best = [t for t in turns if shares[t["speaker"]] == most and _shared(piece, t) > 0]
        return str(max(best, key=lambda turn: turn["start"])["speaker"])
    return str(max(turns, key=lambda turn: _shared(piece, turn))["speaker"])


def _shared(one: Timed, other: Timed) -> float:
    """Return the seconds that two stretches share; below 0: the seconds between them."""
    return float(min(one["end"], other["end"]) - max(one["start"], other["start"]))
