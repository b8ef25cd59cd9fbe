"""Sentences of a text, and which few of them stand for it."""

import re
from collections.abc import Sequence

import numpy as np

from actors.text import blocks

Span = tuple[int, int]

# Between two sentences of running text: a stop, perhaps a closing quote, white space, a beginning.
SENTENCE_END = re.compile(
    r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[A-ZÀ-ÖØ-ÞΑ-ΩА-Я\d])|(?<=[。！？؟])\s*"
)
# "Mr. Smith", "No. 7", "J. Smith": a stop that ends no sentence.
ABBREVIATED = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|No|Nr|vs|etc|Inc|Ltd|Co|Jr|Sr|Fig|e\.g|i\.e)|\b[A-Z])\.$"
)
# Five words and a stop make a sentence; headings, labels and table cells mostly have neither.
FEWEST_WORDS = 5
STOP = re.compile(r"[.!?…。！？؟][\"'”’)\]]*$")
# Weight of being like the whole against being unlike what is chosen already (MMR's lambda), and of
# standing early: the last sentence starts 0.05 of cosine behind the first. Both are customary
# values that gave sensible summaries of prose; they were not tuned.
LIKENESS = 0.7
LEAD = 0.05


def sentence_spans(text: str) -> list[Span]:
    """Return the spans of the sentences of running text; of each line where the text is a list.

    If less than half of the text is whole sentences, headings and short entries count as well.
    """
    spans = every_sentence(text)
    whole = [span for span in spans if _is_sentence(text[slice(*span)])]
    covered = sum(end - start for start, end in whole)
    return whole if 2 * covered >= sum(end - start for start, end in spans) else spans


def every_sentence(text: str) -> list[Span]:
    """Return the spans of all sentences, headings and entries of lists, in order."""
    return [span for block in sentences_by_block(text) for span in block]


def sentences_by_block(text: str) -> list[list[Span]]:
    """Return the sentences of each paragraph or entry: all of the text but white space."""
    return [_split(text, *block) for block in blocks(text)]


def _split(text: str, start: int, end: int) -> list[Span]:
    """Cut a block into sentences, white space at their ends left out."""
    found = []
    for match in SENTENCE_END.finditer(text, start, end):
        if not ABBREVIATED.search(text[max(start, match.start() - 8) : match.start()]):
            found.append((start, match.end()))
            start = match.end()
    found.append((start, end))
    spans = [_trim(text, *span) for span in found]
    return [(a, b) for a, b in spans if a < b]


def _trim(text: str, start: int, end: int) -> Span:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())


def _is_sentence(text: str) -> bool:
    return len(text.split()) >= FEWEST_WORDS and bool(STOP.search(text))


def choose(vectors: np.ndarray, words: list[int], most: int, most_words: int | None) -> list[int]:
    """Return the numbers of the sentences that stand for the text, in the text's order.

    vectors     float32 (sentences, size), of length 1
    words       number of words of each sentence
    most        most sentences chosen
    most_words  most words chosen together; where no sentence is that short, a shortest one is
    """
    likeness = vectors @ _unit(vectors.mean(axis=0)) + np.linspace(LEAD, 0, len(vectors))
    repeated = np.zeros(len(vectors))
    sizes, free = np.array(words), np.ones(len(vectors), dtype=bool)
    left = sum(words) if most_words is None else max(most_words, min(words))
    chosen: list[int] = []
    while len(chosen) < most and (free & (sizes <= left)).any():
        worth = LIKENESS * likeness - (1 - LIKENESS) * repeated
        best = int(np.where(free & (sizes <= left), worth, -np.inf).argmax())
        chosen.append(best)
        free[best] = False
        left -= words[best]
        repeated = np.maximum(repeated, vectors @ vectors[best])
    return sorted(chosen)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def run_on(parts: Sequence[str]) -> str:
    """Join sentences with spaces, and entries, which end without a stop, with semicolons."""
    marked = [part if STOP.search(part) else part.rstrip(";,") + ";" for part in parts[:-1]]
    return " ".join([*marked, *parts[-1:]])


def within_words(text: str, most: int | None) -> str:
    """Return `text` with at most `most` words: to the last whole sentence, else cut with "…"."""
    if most is None or len(text.split()) <= most:
        return text
    start = " ".join(text.split()[:most])
    ends = [match.end() for match in SENTENCE_END.finditer(start + " A")]
    return start[: ends[-1]].rstrip() if ends else start + "…"
