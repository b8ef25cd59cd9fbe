"""The vectors in an output: which columns hold them, what made each, and how they are read."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs
from pydantic import ValidationError

from actors import catalog
from actors.errors import SinkFailed, UsageError, nearest
from actors.stage import Stage
from pipelines.ledger import read_ledger
from pipelines.parts import ROW, SOURCE, read_footer
from pipelines.record import Record, records
from pipelines.store import DATA, OURS, Store

MADE_BY = ("task", "version", "model", "revision", "options")
"""What of a stage decides its vectors, as the run's record states it."""


class PartGone(Exception):
    """A part was withdrawn while it was being read: look again which ones there are."""


@dataclass(frozen=True, slots=True)
class VectorColumn:
    """A column of vectors. `input` is what the stage made them of (text, image, ...); `said` is
    what the record says of the stage."""

    name: str
    input: str
    stage: Stage
    said: Mapping[str, Any]

    @property
    def made_by(self) -> dict[str, Any]:
        """What two vectors must have in common to be compared."""
        return {name: self.said[name] for name in MADE_BY}


@dataclass(frozen=True, slots=True)
class PartFile:
    """A part of data at one version: written anew, it has another time (nanoseconds) or size."""

    name: str
    size: int
    time: int


def part_files(store: Store) -> list[PartFile]:
    """The parts of an output as they are now, told without opening one."""
    selector = fs.FileSelector(store.full(DATA), allow_not_found=True)
    infos = store.system.get_file_info(selector)
    found = [
        PartFile(i.base_name, i.size, i.mtime_ns or 0)
        for i in infos
        if i.is_file and i.base_name.endswith(".parquet") and i.base_name[0] not in "._"
    ]
    return sorted(found, key=lambda part: part.name)


def vector_column(store: Store, name: str | None) -> VectorColumn:
    """The column of that name, or the only one. Raises UsageError that lists what there is."""
    if OURS not in store.top():
        raise UsageError(
            f"{store.shown} is no output of gristmill: it has no folder {OURS}.\n"
            "  name the folder that stands in the pipeline file under  sink: path:"
        )
    record = _record(store)
    found = {column.name: column for column in _columns(record)}
    if not found:
        raise UsageError(
            f"{store.shown} has no column of vectors to search in.\n"
            f"  its stages: {', '.join(step['task'] for step in record.description['steps'])}\n"
            f"  tasks that make one: {', '.join(_tasks_with_vectors())}"
        )
    if name is not None and name not in found:
        raise UsageError(
            f"{store.shown} has no vectors in a column '{name}'{nearest(name, found)}.\n"
            f"  columns of vectors: {', '.join(found)}"
        )
    if name is None and len(found) > 1:
        raise UsageError(
            f"{store.shown} has several columns of vectors: {', '.join(found)}.\n"
            f"  choose one:  --column {next(iter(found))}"
        )
    return found[name or next(iter(found))]


def _record(store: Store) -> Record:
    """The record of the last run that made what is there. Raises UsageError."""
    parts = part_files(store)
    footer = read_footer(store, DATA, parts[0].name) if parts else None
    if footer is None:
        raise UsageError(f"{store.shown} has no rows yet: run its pipeline first")
    same = [r for r in records(store) if r.fingerprint == footer.fingerprint]
    if not same:
        raise UsageError(
            f"{store.shown} has no record of the run that made it, so it is not known which model"
            " made its vectors.\n  answer its rows anew:  gristmill run FILE --fresh"
        )
    return same[-1]


def _columns(record: Record) -> Iterator[VectorColumn]:
    """The columns that can be searched, and were written."""
    for said in record.description["steps"]:
        stage = _stage(said)
        for input, output in stage.searched.items() if stage else ():
            name = said["output"].get(output)
            if stage and input in said["input"] and name in record.description["columns"]:
                yield VectorColumn(name, input, stage, said)


def _stage(said: Mapping[str, Any]) -> Stage | None:
    """The stage as it was, or None where this version has no such task."""
    try:
        stage = catalog.stage_class(said["task"]).model_validate(said["options"])
    except (UsageError, ValidationError):
        return None
    return stage


def _tasks_with_vectors() -> list[str]:
    return [name for name in catalog.names() if catalog.stage_class(name).searched]


@contextmanager
def _opened(store: Store, part: str) -> Iterator[Any]:
    """A part's file. Raises PartGone, and SinkFailed for one that is damaged."""
    try:
        with store.open(f"{DATA}/{part}") as file:
            yield pq.ParquetFile(file)
    except FileNotFoundError:
        raise PartGone(part) from None
    except pa.ArrowException as error:
        raise SinkFailed(f"{store.shown}/{DATA}/{part} is damaged: {error}") from None


def rows_in(store: Store, part: str) -> int:
    """How many rows a part has. Raises PartGone."""
    with _opened(store, part) as file:
        return int(file.metadata.num_rows)


def read_vectors(store: Store, part: str, column: str) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of a part, at length 1: their rows in it (int64, (n,)), and float32 (n, size).

    Rows without a vector, or with one of length 0 or of numbers that are not finite, are left out.
    Raises PartGone, SinkFailed for vectors of several sizes.
    """
    with _opened(store, part) as file:
        cells = file.read(columns=[column])[column].combine_chunks()
    rows = np.flatnonzero(cells.is_valid().to_numpy(zero_copy_only=False))
    there = cells.drop_null()
    sizes = pc.list_value_length(there).unique()
    if len(sizes) > 1:
        raise differ(store, column)
    size = sizes[0].as_py() if len(sizes) else 0
    flat = there.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    vectors = flat.reshape(len(rows), size)
    with np.errstate(over="ignore"):  # squares beyond float32: as good as infinite
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    usable = (lengths[:, 0] > 0) & np.isfinite(lengths[:, 0])
    return rows[usable], vectors[usable] / lengths[usable]


def differ(store: Store, column: str) -> SinkFailed:
    """The error for vectors of several sizes, which cannot be compared."""
    return SinkFailed(f"the vectors of '{column}' in {store.shown} differ in size")


def read_rows(store: Store, part: str, rows: Sequence[int]) -> list[dict[str, Any]]:
    """The values of some rows of a part that people can read: no vectors, lists or bytes.

    Raises PartGone.
    """
    with _opened(store, part) as file:
        names = [field.name for field in file.schema_arrow if _is_short(field.type)]
        found: list[dict[str, Any]] = file.read(columns=names).take(list(rows)).to_pylist()
    return found


def _is_short(kind: pa.DataType) -> bool:
    hard = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_null)
    return not (pa.types.is_nested(kind) or any(is_hard(kind) for is_hard in hard))


def vector_at(store: Store, column: str, source: str, row: int) -> np.ndarray:
    """The vector of a row: float32, (size,), length 1. Raises UsageError if it has none."""
    for part in _parts_with(store, source, row):
        with _opened(store, part) as file:
            keys = file.read(columns=[SOURCE, ROW])
        here = zip(keys[SOURCE].to_pylist(), keys[ROW].to_pylist(), strict=True)
        places = [n for n, place in enumerate(here) if place == (source, row)]
        if places:
            rows, vectors = read_vectors(store, part, column)
            found: np.ndarray
            for found in vectors[rows == places[0]]:
                return found
    raise UsageError(
        f"{store.shown} has no vector of {source}:{row} in '{column}'.\n"
        "  a row is named as _source:_row, as `gristmill search` prints them"
    )


def _parts_with(store: Store, source: str, row: int) -> list[str]:
    """The parts that may hold the row: of the unit that answers it."""
    return [
        footer.name
        for unit in read_ledger(store).units.values()
        if any(a.file == source and a.start <= row < a.stop for a in unit[0].answers)
        for footer in unit
    ]
