"""What is said in one breath: the sentences of a text, and the sound of them joined."""

import numpy as np

from actors.sound import Samples
from actors.text import unbroken
from actors.texts.sentences import every_sentence

LONGEST = 300
"""Characters said at once: SpeechT5 takes 450 tokens, about one a character, Bark 256 of several;
and memory grows with them. Sentences of prose have 75 to 150."""


def utterances(text: str) -> list[str]:
    """Return a text's sentences, headings and entries; what is longer is cut between words."""
    whole = [unbroken(text[start:end])[0] for start, end in every_sentence(text)]
    return [part for sentence in whole for part in _parts(sentence)]


def _parts(sentence: str) -> list[str]:
    """Cut after the last comma, else the last space, else anywhere, that is near enough."""
    parts = []
    while len(sentence) > LONGEST:
        near = sentence[:LONGEST]
        cut = max(near.rfind(", ") + 1, near.rfind("; ") + 1) or near.rfind(" ") or LONGEST
        cut = cut if cut > 0 else LONGEST
        parts.append(sentence[:cut].strip())
        sentence = sentence[cut:].strip()
    return [*parts, sentence] if sentence else parts


def joined(parts: list[Samples], rate: int, pause: float) -> Samples:
    """Return the sounds one after the other, with `pause` seconds of silence between them."""
    silence = np.zeros(round(pause * rate), np.float32)
    between = [sound for part in parts for sound in (silence, part)]
    return np.concatenate(between[1:]) if between else silence[:0]
