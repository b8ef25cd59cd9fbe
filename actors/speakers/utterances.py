"""Who said what: words or segments with times, given to the turns in which they were said."""

from collections.abc import Mapping, Sequence
from typing import Any

Timed = Mapping[str, Any]
"""A dict with `start` and `end` in seconds, and more."""

NOBODY = "UNKNOWN"
"""The speaker of what was said where there is no turn at all."""


def spoken(pieces: Sequence[Timed], turns: Sequence[Timed]) -> list[dict[str, Any]]:
    """Return utterances: neighbouring pieces (start, end, text) of one speaker, run together."""
    utterances: list[dict[str, Any]] = []
    for piece in sorted(pieces, key=lambda one: (one["start"], one["end"])):
        speaker, text = speaker_of(piece, turns), piece["text"].strip()
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
