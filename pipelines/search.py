"""Searching an output: a query's vector, by the model that made the column; the nearest rows."""

import hashlib
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actors.errors import RowRejected, UsageError
from actors.models.reference import fetch, resolve
from actors.stage import Device, ModelFiles
from actors.worker import Worker
from pipelines.index import Hit, Say, open_index
from pipelines.parts import ROW, SOURCE
from pipelines.store import OURS, Store
from pipelines.vectors import PartGone, VectorColumn, read_rows, read_vectors, vector_at

OWN = ("rank", "score")
"""What a row that was found says besides the output's columns; theirs of these names are called
output_rank and output_score."""

TRIES = 5
"""A run may withdraw parts while we look; five times in the moments of a search it does not."""


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: a text, the bytes of a file, or a row of the output (_source, _row)."""

    input: str = ""
    value: str | bytes | None = None
    row: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are on this machine: the folder that local models are relative to, the cache
    of models, and the folder of this column's index."""

    base: Path
    cache: Path
    index: Path


def index_folder(store: Store, column: str, cache: Path) -> Path:
    """Where a column's index is kept: in the output, or in the cache for one on another machine,
    since an index is mapped into memory, and for one that may not be written to."""
    if store.is_local:
        there = Path(store.full(OURS)) / "search" / column
        if os.access(next(path for path in (there, *there.parents) if path.exists()), os.W_OK):
            return there
    named = hashlib.sha256((store.home or store.path).encode()).hexdigest()[:16]
    return cache / "search" / named / column


def search(
    store: Store, column: VectorColumn, query: Query, top: int, places: Places, say: Say
) -> list[dict[str, Any]]:
    """The rows nearest to a query, the best first: rank, score (cosine), and their short columns.

    The index is brought up to date first; `say` hears of it. Raises UsageError, SinkFailed.
    """
    vector = None if query.row else query_vector(column, query, places)
    for attempt in range(TRIES):
        try:
            index = open_index(store, column, places.index, say)
            wanted = vector
            if query.row is not None:
                wanted = vector_at(store, column.name, *query.row)
            assert wanted is not None, "a query is a row or has a vector"
            hits = index.search(wanted, top + (query.row is not None))
            return _found(store, column, hits, wanted, query)[:top]
        except PartGone:
            if attempt == TRIES - 1:
                raise UsageError(
                    f"{store.shown} keeps changing: a run takes back rows; search when it is done"
                ) from None
    raise AssertionError("unreachable")


def query_vector(column: VectorColumn, query: Query, places: Places) -> np.ndarray:
    """The vector of a text or a file, by the model that made the column: float32, length 1."""
    stage, said = column.stage, column.said
    output = stage.searched.get(query.input)
    if output is None:
        hinted = query.input == "text" and "image" in stage.searched
        hint = "\n  texts find pictures by the vectors of image-text-retrieval"
        raise UsageError(
            f"'{column.name}' was made by {said['task']}, which turns no {query.input} into"
            f" vectors.\n  it can be searched by: {', '.join(map(_flag, stage.searched))}"
            f" or  --like SOURCE:ROW{hint if hinted else ''}"
        )
    if stage.version != said["version"]:
        raise UsageError(
            f"'{column.name}' was made by version {said['version']} of {said['task']}, and this is"
            f" version {stage.version}, whose vectors are other ones.\n"
            "  answer the rows anew:  gristmill run FILE --fresh"
        )
    worker = Worker(stage, _files(column, places), Device())
    (answer,) = worker.answer([{query.input: query.value}])
    if isinstance(answer, RowRejected):
        raise UsageError(f"the query cannot be turned into a vector: {answer}")
    vector = np.asarray(answer[output], np.float32)
    found: np.ndarray = vector / max(float(np.linalg.norm(vector)), 1e-12)
    return found


def _flag(input: str) -> str:
    """How the command takes a query of that kind."""
    return "a text" if input == "text" else f"--{input} FILE"


def _files(column: VectorColumn, places: Places) -> ModelFiles:
    """The models that made the column, at the same revisions. Raises UsageError, StageFailed."""
    said = column.said
    try:
        ref = resolve(said["model"], said["revision"], places.base)
        told = {option: str(one).split(" ", 1) for option, one in said["other models"].items()}
        others = {option: resolve(name, pin, places.base) for option, (name, pin) in told.items()}
    except UsageError as error:
        raise UsageError(
            f"the model that made '{column.name}' is needed for the query: {error}\n"
            "  a model in a folder of this machine is looked for from where the pipeline file was:"
            "  --base FOLDER"
        ) from None
    return ModelFiles(
        fetch(ref, places.cache),
        {option: fetch(other, places.cache) for option, other in others.items()},
    )


def _found(
    store: Store, column: VectorColumn, hits: list[Hit], vector: np.ndarray, query: Query
) -> list[dict[str, Any]]:
    """The rows of the hits, their scores from the output's own numbers, the best first."""
    by_part: dict[str, list[int]] = defaultdict(list)
    for hit in hits:
        by_part[hit.part].append(hit.row)
    found: list[dict[str, Any]] = []
    for part, places in by_part.items():
        rows, vectors = read_vectors(store, part, column.name)
        scores = vectors[np.searchsorted(rows, places)] @ vector
        for values, score in zip(read_rows(store, part, places), scores, strict=True):
            theirs = {f"output_{name}" if name in OWN else name: v for name, v in values.items()}
            found.append({"score": float(np.clip(score, -1, 1)), **theirs})
    others = [row for row in found if (row[SOURCE], row[ROW]) != query.row]
    best = sorted(others, key=lambda row: (-row["score"], row[SOURCE], row[ROW]))
    return [{"rank": rank, **row} for rank, row in enumerate(best, 1)]
