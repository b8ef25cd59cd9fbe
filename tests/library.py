"""An output with vectors, written part by part as a run commits them, without Ray or a source."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines import record
from pipelines.file import parse
from pipelines.index import open_index
from pipelines.lock import Lock
from pipelines.parts import Answers, Footer, part_name, place
from pipelines.plan import make_plan
from pipelines.record import Record
from pipelines.search import Places, Query, index_folder, search
from pipelines.store import DATA, REJECTS, Store
from pipelines.vectors import VectorColumn, vector_column

SIZE = 32
NAME = "embedding"


class Library:
    """An output of a pipeline of one stage; `said` are the lines that searching printed."""

    def __init__(self, path: Path, stage: Mapping[str, Any], reads: pa.Schema) -> None:
        pipeline = {
            "name": "library",
            "source": {"kind": "parquet", "path": "rows.parquet"},
            "stages": [dict(stage)],
            "sink": {"kind": "parquet", "path": "out"},
        }
        self.path, self.said = path, list[str]()
        self.store = Store.at("out", path)
        self.store.prepare()
        self.plan = make_plan(parse(pipeline, "library"), "library", path, path / "cache", reads)
        self.record()

    def record(self) -> None:
        """Write the run's record."""
        plan = self.plan
        said = json.loads(json.dumps(plan.description))
        done = Record("run", "done", time.time(), None, plan.fingerprint, said, {}, {})
        record.write(self.store, done)

    def add(self, unit: str, columns: Mapping[str, Any]) -> None:
        """Commit a part: these columns, of a source file that is called as the unit."""
        rows = len(next(iter(columns.values())))
        data = pa.table({"_source": [unit] * rows, "_row": range(rows), **columns})
        answers = (Answers(unit, "1", 0, rows, rows),)
        footer = Footer(unit, 0, "run", rows, 0, answers, self.plan.fingerprint)
        with Lock(self.store, "run").held():
            place(self.store, data, pa.table({}), footer)

    def vectors(self, unit: str, vectors: Sequence[Any]) -> None:
        """Commit a part of these vectors; None for a row that has none."""
        cells = [None if v is None else list(map(float, v)) for v in vectors]
        named = {"title": [f"{unit} {n}" for n in range(len(cells))]}
        self.add(unit, {NAME: pa.array(cells, pa.list_(pa.float32())), **named})

    def remove(self, unit: str) -> None:
        """Withdraw a part, as a run does whose source file changed."""
        for folder in (DATA, REJECTS):
            self.store.delete(f"{folder}/{part_name(unit, 0)}")

    def column(self, name: str | None = None) -> VectorColumn:
        return vector_column(self.store, name)

    def folder(self, name: str = NAME) -> Path:
        return index_folder(self.store, name, self.path / "cache")

    def search(self, query: Query, top: int = 10, name: str | None = None) -> list[dict[str, Any]]:
        column = self.column(name)
        places = Places(self.path, self.path / "cache", self.folder(column.name))
        return search(self.store, column, query, top, places, self.said.append)

    def nearest(self, vector: np.ndarray, top: int) -> list[tuple[str, int]]:
        """The rows that the index finds for a vector."""
        index = open_index(self.store, self.column(), self.folder(), self.said.append)
        hits = index.search(vector, top)
        return [(hit.part.split("-")[1], hit.row) for hit in hits]

    def segments(self) -> list[str]:
        """The files of the index, without the list and the lock."""
        names = {path.name for path in self.folder().iterdir()}
        return sorted(names - {"index.json", "lock"})


def clustered(rows: int, seed: int, clusters: int = 40) -> np.ndarray:
    """Vectors of length 1 around some centres: float32, (rows, SIZE)."""
    centres = np.random.default_rng(0).standard_normal((clusters, SIZE))
    chance = np.random.default_rng(seed)
    made = centres[chance.integers(0, clusters, rows)] + 0.5 * chance.standard_normal((rows, SIZE))
    unit: np.ndarray = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    return unit
