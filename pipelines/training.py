"""The training file of a model of tables as a typed object, and reading the table that it names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BeforeValidator, Field

from actors.errors import SourceFailed, UsageError
from actors.tables.choice import check_there, is_usable, unusable
from actors.tables.features import Kind
from actors.tables.training import ModelName
from pipelines.sources import AnySource, Source
from pipelines.spec import Spec
from pipelines.units import Cutter, Extent, Unit, pieces

UNIT_BYTES = 64 << 20
"""About what is read at once, beside the rows that are kept."""

Asked = Literal["auto", "number", "category", "boolean", "text"]


def _with_kinds(given: Any) -> Any:
    """A list of columns as a mapping: each of its usual kind."""
    if isinstance(given, (list, tuple)) and all(isinstance(name, str) for name in given):
        return dict.fromkeys(given, "auto")
    return given


Features = Annotated[dict[str, Asked], BeforeValidator(_with_kinds), Field(min_length=1)]


class Split(Spec):
    """Which rows are held back to measure on; of each class the same share."""

    test: float = Field(0.2, gt=0, lt=1, description="share of the rows")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="another seed, another split and model")


class TableTraining(Spec):
    """A training file: a table, the column to learn, and where the model goes."""

    task: Literal["tabular-classification", "tabular-regression"]
    source: AnySource
    target: str = Field(description="the column to learn")
    features: Features | None = Field(
        None, description="the columns to learn from, or column -> kind; default: all usable ones"
    )
    model: ModelName = "gradient-boosting"
    encoder: str | None = Field(
        None, description="for text-and-table: embedded:NAME, org/name or ./folder"
    )
    split: Split = Split()
    max_rows: int = Field(
        1_000_000, ge=10, description="learn from at most so many rows, drawn evenly by the seed"
    )
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads; default: all")
    output: str = Field(min_length=1, description="the model's folder, relative to the file")

    @property
    def kinds(self) -> dict[str, Kind | None] | None:
        """The features that are asked for, None for a kind that is to be chosen."""
        if self.features is None:
            return None
        known = {kind: kind for kind in get_args(Kind)}
        return {name: known.get(kind) for name, kind in self.features.items()}


class TableRead(NamedTuple):
    """The rows to learn from, how many were left out by reason, and why columns were not read."""

    table: pa.Table
    rows_left_out: dict[str, int]
    columns_left_out: dict[str, str]


def read_table(training: TableTraining, base: Path) -> TableRead:
    """Read the rows to learn from.

    At most `max_rows` rows and one unit are in memory. Raises UsageError, SourceFailed.
    """
    source: Source = training.source
    files = source.files(base)
    wanted, unread = _columns(training, source.offers(files, new=lambda: files))
    extents = [source.opens(file, wanted) for file in files]
    rows = sum(extent.rows for extent in extents)
    drawn = _drawn(rows, training.max_rows, training.split.seed)
    tables = [wanted.empty_table()]
    left_out = {"not drawn": rows - min(rows, training.max_rows)} if drawn is not None else {}
    for start, unit in _units(extents):
        table = read_unit(source, unit, wanted)
        if drawn is not None:
            table = table.filter(pa.array(drawn[start : start + table.num_rows]))
        good = pc.is_null(table["_reject"])
        broken = table.num_rows - (pc.sum(good).as_py() or 0)
        if broken:
            left_out["unreadable"] = left_out.get("unreadable", 0) + broken
        tables.append(table.filter(good).select(wanted.names))
    return TableRead(pa.concat_tables(tables), left_out, unread)


def _columns(training: TableTraining, offered: pa.Schema) -> tuple[pa.Schema, dict[str, str]]:
    """The columns to read, and why others are not: a table may hold pictures by the gigabyte."""
    named = [training.target, *(training.features or ())]
    check_there(offered.names, named)
    names = named if training.features else offered.names
    fields = [field for field in offered if field.name in names]
    unread = {
        field.name: unusable(field.type)
        for field in fields
        if field.name not in named and not is_usable(field.type)
    }
    return pa.schema([field for field in fields if field.name not in unread]), unread


def _drawn(rows: int, most: int, seed: int) -> np.ndarray | None:
    """Which rows to keep: bool (rows,), or None for all of them."""
    if rows <= most:
        return None
    keep = np.zeros(rows, dtype=bool)
    keep[np.random.default_rng(seed).choice(rows, most, replace=False)] = True
    return keep


def _units(extents: list[Extent]) -> Iterator[tuple[int, Unit]]:
    """The table in order, cut into units, each with the place of its first row."""
    cutter = Cutter((piece for extent in extents for piece in pieces(extent)), UNIT_BYTES)
    start = 0
    while unit := cutter.next(1 << 20):
        yield start, unit
        start += unit.rows


def read_unit(source: Source, unit: Unit, columns: pa.Schema) -> pa.Table:
    """Read a unit whole. Raises SourceFailed."""
    found = source.gives(unit, columns)
    if found.skipped:
        file, why = found.skipped[0]
        raise SourceFailed(f"source file {file.name!r} cannot be learned from: {why}")
    return found.table


def goal_of(training: TableTraining) -> Literal["classification", "regression"]:
    """What the task is about."""
    return "classification" if training.task == "tabular-classification" else "regression"


def check_model(training: TableTraining) -> None:
    """Raise UsageError for an encoder that the model does not use."""
    if training.encoder and training.model != "text-and-table":
        raise UsageError(
            f"encoder: only the model text-and-table reads texts, and this is {training.model}.\n"
            "  write  model: text-and-table , or leave  encoder  out"
        )
