"""An index over a column of vectors: segments that never change, and a list of those that count.

A segment is a file of faiss over some parts of the output, mapped into memory when it is searched.
New parts make a new segment, which takes in smaller ones; a part that is gone is passed over, until
half of a segment is. The list is put in place last, in one step: a build that dies leaves the index
as it was. The output's parts stay the only truth: without the index, it is built again.
"""

import fcntl
import json
import math
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from actors.errors import SinkFailed, UsageError
from pipelines.store import Store
from pipelines.vectors import (
    PartFile,
    VectorColumn,
    differ,
    part_files,
    read_vectors,
    rows_in,
)

FORMAT = 1
"""Version of the index; another one is built anew."""

SEGMENT_ROWS = 1 << 20
"""Most rows of a segment; while it is built, its vectors are in memory at half precision: 1 GB
for 512 numbers each."""

EXACT_ROWS = 1 << 14
"""Up to so many rows a query is compared with each: 16,384 x 512 takes 3 ms on one core."""

SAMPLE = 64
"""Vectors that each list of a segment is trained on; faiss asks for 39 at least."""

PROBES = 128
"""Lists of a segment that a query is compared with, of about 1,000 in a full one. On a million
vectors of 384 numbers around 10,000 centres, as far from them as these from 0, 32, 64, 128 and 256
found 0.83, 0.88, 0.93 and 0.97 of the ten nearest, in 5, 8, 14 and 30 ms on two cores."""

LIST, LOCK = "index.json", "lock"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Covered:
    """A part in a segment: its rows are the segment's numbers from `start`."""

    part: PartFile
    start: int
    rows: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of the index, its size in bytes, and the parts that it covers."""

    file: str
    size: int
    covers: tuple[Covered, ...]

    @property
    def rows(self) -> int:
        """Rows of its parts, also of those that are gone."""
        return sum(covered.rows for covered in self.covers)


@dataclass(frozen=True, slots=True)
class Listed:
    """The list of segments, and what made the vectors in them."""

    made_by: dict[str, Any]
    segments: tuple[Segment, ...] = ()
    format: int = FORMAT

    def dumps(self) -> str:
        """As it stands on disk."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def loads(cls, text: str) -> "Listed | None":
        """Read back what dumps wrote; None for another format, and for a damaged list."""
        try:
            data = json.loads(text)
            if data["format"] != FORMAT:
                return None
            return cls(data["made_by"], tuple(map(_segment, data["segments"])))
        except (ValueError, KeyError, TypeError):
            return None


def _segment(data: dict[str, Any]) -> Segment:
    covers = [Covered(PartFile(**c["part"]), c["start"], c["rows"]) for c in data["covers"]]
    return Segment(data["file"], data["size"], tuple(covers))


@dataclass(frozen=True, slots=True)
class Hit:
    """A row that was found: its part, its place there, and the cosine as the index has it."""

    part: str
    row: int
    score: float


@dataclass(frozen=True)
class Index:
    """An index that is open. `rows` are those that can be found."""

    segments: list[tuple[Segment, Any]]
    there: frozenset[PartFile] = field(repr=False)

    @property
    def rows(self) -> int:
        """Rows with a vector, those of parts that are gone among them."""
        return sum(int(opened.ntotal) for _, opened in self.segments)

    def search(self, vector: np.ndarray, top: int) -> list[Hit]:
        """The rows nearest to a vector of length 1, the best first."""
        hits = [
            hit for one, opened in self.segments for hit in self._within(one, opened, vector, top)
        ]
        return sorted(hits, key=lambda hit: -hit.score)[:top]

    def _within(self, segment: Segment, opened: Any, vector: np.ndarray, top: int) -> Iterator[Hit]:
        if vector.shape != (opened.d,):
            raise UsageError(
                f"the query's vector has {len(vector)} numbers, those of the output {opened.d}"
            )
        query = vector[None].astype(np.float32)
        scores, numbers = opened.search(query, top, params=self._settings(segment, opened))
        starts = [covered.start for covered in segment.covers]
        for score, number in zip(scores[0].tolist(), numbers[0].tolist(), strict=True):
            if number >= 0:  # -1 fills up where there are fewer rows
                covered = segment.covers[int(np.searchsorted(starts, number, "right")) - 1]
                yield Hit(covered.part.name, number - covered.start, score)

    def _settings(self, segment: Segment, opened: Any) -> Any:
        """How many lists to look into, and which rows to pass over."""
        faiss = load_faiss()
        nprobe = min(PROBES, opened.nlist)
        if all(covered.part in self.there for covered in segment.covers):
            return faiss.SearchParametersIVF(nprobe=nprobe)
        alive = np.zeros(segment.rows, bool)
        for covered in segment.covers:
            alive[covered.start : covered.start + covered.rows] = covered.part in self.there
        bits = np.packbits(alive, bitorder="little")
        return faiss.SearchParametersIVF(nprobe=nprobe, sel=faiss.IDSelectorBitmap(bits))


def load_faiss() -> Any:
    """Import faiss. Raises UsageError that says how to install it."""
    try:
        import faiss
    except ModuleNotFoundError:
        raise UsageError(
            "search needs the Python package faiss-cpu.\n  pip install 'gristmill[search]'"
        ) from None
    return faiss


def open_index(store: Store, column: VectorColumn, folder: Path, say: Say) -> Index:
    """Open the index of a column, after bringing it up to date with the output's parts.

    `folder` is on this machine. Raises UsageError, SinkFailed, PartGone.
    """
    load_faiss()
    try:
        with _alone(folder, say):
            listed = _read(folder, column, say)
            there = part_files(store)
            listed = _updated(store, column, folder, listed, there, say)
            opened = [(one, _open(folder / one.file)) for one in listed.segments]
    except OSError as error:
        raise SinkFailed(f"the search index {folder} cannot be written: {error}") from None
    return Index([(one, index) for one, index in opened if index.ntotal], frozenset(there))


@contextmanager
def _alone(folder: Path, say: Say) -> Iterator[None]:
    """Hold the index's lock, which the system frees when this process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process brings the index up to date: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(folder: Path, column: VectorColumn, say: Say) -> Listed:
    """The list as it is, without what cannot be used; an empty one where there is none."""
    made_by = json.loads(json.dumps(column.made_by))
    path = folder / LIST
    listed = Listed.loads(path.read_text("utf-8", "replace")) if path.is_file() else None
    if listed is None:
        return Listed(made_by)
    if listed.made_by != made_by:
        say(f"the index of '{column.name}' is of another model's vectors: building it anew")
        return Listed(made_by)
    whole = [s for s in listed.segments if _size(folder / s.file) == s.size]
    return Listed(made_by, tuple(whole))


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _updated(
    store: Store,
    column: VectorColumn,
    folder: Path,
    listed: Listed,
    there: Sequence[PartFile],
    say: Say,
) -> Listed:
    """Index the parts that no segment covers, and put the new list in place."""
    known = set(there)
    kept = [s for s in listed.segments if 2 * _alive(s, known) > s.rows]
    covered = {c.part for s in kept for c in s.covers}
    new = [(part, rows_in(store, part.name)) for part in there if part not in covered]
    if new or len(kept) < len(listed.segments):
        total = sum(rows for _, rows in new)
        say(f"indexing {total:,} rows of '{column.name}' in {len(new):,} new parts")
        kept, again = _taken_in(kept, total)
        new += [(c.part, c.rows) for s in again for c in s.covers if c.part in known]
        made = [_build(store, column.name, folder, group) for group in _groups(new)]
        listed = Listed(listed.made_by, (*kept, *made))
        _put(folder / LIST, lambda path: path.write_text(listed.dumps(), "utf-8"))
    used = {LIST, LOCK, *(segment.file for segment in listed.segments)}
    for path in folder.iterdir():
        if path.name not in used:  # what was replaced, and what a killed build left
            path.unlink(missing_ok=True)
    return listed


def _alive(segment: Segment, there: set[PartFile]) -> int:
    """Rows of the segment's parts that are still there."""
    return sum(c.rows for c in segment.covers if c.part in there)


def _taken_in(segments: Sequence[Segment], rows: int) -> tuple[list[Segment], list[Segment]]:
    """Which segments to keep, and which to build again with `rows` new ones.

    Each that is no larger than what is built anyway is taken in: so their number grows with the
    logarithm of the rows, and a row is built again so many times at most.
    """
    kept: list[Segment] = []
    again: list[Segment] = []
    for segment in sorted(segments, key=lambda s: s.rows):
        if segment.rows <= rows and segment.rows + rows <= SEGMENT_ROWS:
            again.append(segment)
            rows += segment.rows
        else:
            kept.append(segment)
    return kept, again


def _groups(parts: Sequence[tuple[PartFile, int]]) -> Iterator[list[Covered]]:
    """Share parts out to segments of SEGMENT_ROWS."""
    group: list[Covered] = []
    start = 0
    for part, rows in sorted(parts, key=lambda known: known[0].name):
        if group and start + rows > SEGMENT_ROWS:
            yield group
            group, start = [], 0
        group.append(Covered(part, start, rows))
        start += rows
    if group:
        yield group


def _build(store: Store, column: str, folder: Path, covers: Sequence[Covered]) -> Segment:
    """Write a segment over these parts, one part in memory at a time."""
    faiss = load_faiss()
    rows = sum(covered.rows for covered in covers)
    lists = math.isqrt(rows) if rows > EXACT_ROWS else 1
    sample = _sample(store, column, covers, max(1, rows // (SAMPLE * lists)))
    size = sample.shape[1]
    half, dot = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(size), size, min(lists, max(len(sample), 1)), half, dot, False
    )
    index.cp.min_points_per_centroid = 1  # fewer than faiss advises are no reason to warn
    index.train(sample if len(sample) else np.ones((1, size), np.float32))
    for covered in covers:
        places, vectors = read_vectors(store, covered.part.name, column)
        if len(places):
            index.add_with_ids(vectors, places + covered.start)
    file = f"{secrets.token_hex(8)}.faiss"
    _put(folder / file, lambda path: faiss.write_index(index, str(path)))
    return Segment(file, (folder / file).stat().st_size, tuple(covers))


def _sample(store: Store, column: str, covers: Sequence[Covered], step: int) -> np.ndarray:
    """Every `step`-th vector of these parts: float32, (n, size)."""
    found: list[np.ndarray] = []
    size, seen = 1, 0
    for covered in covers:
        _, vectors = read_vectors(store, covered.part.name, column)
        if len(vectors):
            size = vectors.shape[1]
            if found and size != found[0].shape[1]:
                raise differ(store, column)
            found.append(vectors[-seen % step :: step])
        seen += len(vectors)
    return np.concatenate(found) if found else np.zeros((0, size), np.float32)


def _put(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file aside, sync it and put it in place in one step."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.aside")
    write(aside)
    for synced in (aside, path.parent):
        handle = os.open(synced, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        if synced == aside:
            aside.replace(path)


def _open(path: Path) -> Any:
    faiss = load_faiss()
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
    except RuntimeError as error:
        raise SinkFailed(
            f"the search index {path} is damaged: {str(error).splitlines()[0]}.\n"
            f"  delete the folder {path.parent} and search again: it is built anew"
        ) from None
