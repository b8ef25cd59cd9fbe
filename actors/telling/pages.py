"""Words of a page, where they stand, and a model that finds the ones that answer a question.

LayoutLM reads words with their places; long pages go through it in windows, as texts do in
question-answering.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForDocumentQuestionAnswering

from actors.checkpoint import load_model
from actors.errors import RowRejected, StageFailed
from actors.reading.lines import has_place
from actors.stage import Batching, Device, Item, Row
from actors.text import text_of
from actors.texts.encoder import Encoder, Tokens
from actors.texts.pairs import Pairs, Stretch
from actors.texts.spans import Reading, likeliest, span_shares

PAGE = 1000
"""Sides of the page that LayoutLM knows, whatever its pixels: places are thousandths of it."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels of the upright picture."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a page, and where it stands."""

    text: str
    box: Box


def words_of(lines: Sequence[Mapping[str, Any] | None]) -> list[Word]:
    """Return the words of the lines that OCR found, in their order.

    A line says where it stands, its words do not: each gets the share of the line's width that its
    characters are of the line's. Raises RowRejected (no_places for lines without a place, and
    those of texts).
    """
    found: list[Word] = []
    for number, line in enumerate(lines):
        name = f"lines[{number}].text"
        text = text_of({name: (line or {}).get("text") or ""}, name)
        if not text:
            continue
        if line is None or not has_place(line):
            raise RowRejected(
                "no_places", "a line does not say where it stands: read the page with a detector"
            )
        left, top, right, bottom = map(float, line["box"])
        found += _words_of_line(text, (left, top, right, bottom))
    return found


def _words_of_line(text: str, box: Box) -> Iterator[Word]:
    left, top, right, bottom = box
    step = (right - left) / len(text)
    place = 0
    for word in text.split():
        place = text.index(word, place)
        end = place + len(word)
        yield Word(word, (left + place * step, top, left + end * step, bottom))
        place = end


@dataclass(frozen=True, slots=True)
class Page:
    """What belongs to a window: its stretch of the page's tokens; the word of each token of the
    page, int64 (n,); where each token of the window stands, int64 (tokens, 4)."""

    at: Stretch
    words: np.ndarray
    boxes: np.ndarray


class LayoutReader:
    """A LayoutLM that answers questions, with its tokenizer; tokens of a window: `max_length`."""

    def __init__(self, folder: Path, device: Device, max_length: int) -> None:
        model = load_model(AutoModelForDocumentQuestionAnswering, folder, device)
        self.encoder = Encoder(model, folder, device, max_length)
        self.pairs = Pairs(self.encoder)
        self.separator = self.encoder.tokenizer.sep_token_id
        places = np.flatnonzero(self.pairs.frame.before == self.encoder.tokenizer.cls_token_id)
        if not len(places) or self.separator is None:
            raise StageFailed("the tokenizer has no marks before and between two texts")
        self.none = int(places[0])

    @property
    def batching(self) -> Batching:
        """Windows are padded under a mask, which is exact for LayoutLM: the contract test of
        document-question-answering compares."""
        return replace(self.encoder.batching, rule="length")

    def windows(
        self, question: str, words: Sequence[Word], size: tuple[int, int], overlap: int
    ) -> list[Item]:
        """Return windows that hold the question, and together all words; none without words.

        `size` is the picture's, in pixels: width, height. Raises RowRejected (too_long).
        """
        asked = self._encoded(question.split())
        page = self._encoded([word.text for word in words])
        owners = np.array([-1 if word is None else word for word in page.word_ids], np.int64)
        boxes = _thousandths([word.box for word in words], size)[owners]
        windows = self.pairs.windows(_ids(asked), _ids(page), overlap)
        return [
            replace(w, note=Page(w.note, owners, self._places(w, boxes))).item() for w in windows
        ]

    def _encoded(self, words: list[str]) -> Any:
        return self.pairs.backend.encode(words, is_pretokenized=True, add_special_tokens=False)

    def _places(self, window: Tokens, boxes: np.ndarray) -> np.ndarray:
        """Return where a window's tokens stand: the page's corner for what is not on the page, the
        other corner for the marks between and after."""
        at: Stretch = window.note
        places = np.zeros((len(window.ids), 4), np.int64)
        places[window.ids == self.separator] = PAGE
        places[at.place : at.place + at.last - at.first] = boxes[at.first : at.last]
        return places

    def read(self, items: Sequence[Item]) -> list[Reading]:
        """Return what the model says of each window."""
        inputs = dict(self.encoder.inputs(items))
        shape = (*inputs["input_ids"].shape, 4)
        places = np.zeros(shape, np.int64)
        for row, item in zip(places, items, strict=True):
            row[: len(item.data.ids)] = item.data.note.boxes
        inputs["bbox"] = torch.from_numpy(places).to(inputs["input_ids"].device)
        with torch.inference_mode():
            found = self.encoder.model(**inputs)
        logits = [one.float().cpu().numpy() for one in (found.start_logits, found.end_logits)]
        return [
            self._reading(item.data.note.at, *pair)
            for item, *pair in zip(items, *logits, strict=True)
        ]

    def _reading(self, at: Stretch, starts: np.ndarray, ends: np.ndarray) -> Reading:
        page = slice(at.place, at.place + at.last - at.first)
        none = (float(starts[self.none]), float(ends[self.none]))
        return Reading(at.first, starts[page], ends[page], none)


def best_words(
    readings: Sequence[Reading], owners: np.ndarray, most: int
) -> Iterator[tuple[int, int, float]]:
    """Yield stretches of at most `most` tokens from the likeliest down, each stretch of words once:
    first word, last word, share."""
    shares, _ = span_shares(readings, most)
    seen: set[tuple[int, int]] = set()
    for first, last, score in likeliest(shares):
        stretch = int(owners[first]), int(owners[last])
        if stretch not in seen:
            seen.add(stretch)
            yield (*stretch, score)


def answered(words: Sequence[Word], first: int, last: int, score: float) -> Row:
    """Return an answer's columns: its words, how likely they are, and where they stand."""
    part = words[first : last + 1]
    corners = ("xmin", "ymin", "xmax", "ymax")
    return {
        "answer": " ".join(word.text for word in part),
        "score": score,
        "boxes": [dict(zip(corners, word.box, strict=True)) for word in part],
    }


def _ids(found: Any) -> np.ndarray:
    return np.asarray(found.ids, dtype=np.int64)


def _thousandths(boxes: Sequence[Box], size: tuple[int, int]) -> np.ndarray:
    """Return boxes in thousandths of the page, within it: int64 (boxes, 4)."""
    scale = PAGE / np.array([*size, *size], np.float64)
    found = np.asarray(boxes, np.float64).reshape(-1, 4) * scale
    return np.clip(found, 0, PAGE).astype(np.int64)
