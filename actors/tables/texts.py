"""Texts of a table's rows as vectors: the first pass of a text-and-table model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from actors.batching import Cut, Part, sort_parts
from actors.stage import Device, Item, Pass, Row
from actors.tables.features import TRUNCATED, VECTORS
from actors.text import text_of
from actors.texts.sentence_encoder import SentenceEncoder

CHUNK = 4_096
"""Texts prepared at once while training; a few megabytes of tokens."""


class TextPass(Pass):
    """Turns a row's texts into vectors. A text that is null or blank is missing, not wrong."""

    def __init__(self, names: Sequence[str], folder: Path, device: Device) -> None:
        self.names = list(names)
        self.sentences = SentenceEncoder(folder, device)
        self.batching = self.sentences.batching
        self.size = int(self.sentences.encoder.model.config.hidden_size)

    @property
    def width(self) -> int:
        """Numbers that a row's texts become."""
        return len(self.names) * (self.size + 1)

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per text that is there; its note is the place of its column."""
        there = [[(n, text) for n, text in enumerate(self._texts(row)) if text] for row in rows]
        found = iter(self.sentences.encoder.encode([text for row in there for _, text in row]))
        return [[replace(next(found), note=place).item() for place, _ in row] for row in there]

    def _texts(self, row: Row) -> list[str]:
        return [text_of(row, n).strip() if row[n] is not None else "" for n in self.names]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: its vector, its column's place, whether it was cut."""
        vectors = self.sentences.vectors(items)
        return [(v, i.data.note, i.data.cut) for v, i in zip(vectors, items, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The row with its texts' vectors beside each other."""
        found = np.full((len(self.names), self.size + 1), np.nan, dtype=np.float32)
        found[:, -1] = 1
        for vector, place, _ in outputs:
            found[place, :-1], found[place, -1] = vector, 0
        cut = [self.names[place] for _, place, was_cut in outputs if was_cut]
        return {**row, VECTORS: found.reshape(-1), TRUNCATED: cut}


def vectors_of(step: TextPass, rows: Sequence[Row]) -> tuple[np.ndarray, int]:
    """The vectors of all rows, float32 (rows, width), and how many rows' texts were cut."""
    found = np.empty((len(rows), step.width), dtype=np.float32)
    cut = 0
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        for place, row in enumerate(_answered(step, chunk), start):
            found[place] = row[VECTORS]
            cut += bool(row[TRUNCATED])
    return found, cut


def _answered(step: TextPass, rows: Sequence[Row]) -> list[Row]:
    """Take rows through the pass, in micro-batches of like length."""
    parts = [Part(n, item) for n, items in enumerate(step.prepare(rows)) for item in items]
    for group in sort_parts(parts, step.batching):
        for batch in Cut(step.batching, None, None).batches(group):
            answers = step.infer([part.item for part in batch])
            for part, output in zip(batch, answers, strict=True):
                part.output = output
    outputs: list[list[Any]] = [[] for _ in rows]
    for part in parts:
        outputs[part.row].append(part.output)
    return [step.finish(row, out) for row, out in zip(rows, outputs, strict=True)]
