"""Whether memory stays flat as the corpus grows tenfold: peaks by role, on a stage without a model.

With a real model its weights and activations would hide what grows with the rows.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.corpus import texts
from benchmarks.tree import measure
from benchmarks.ways import ROOT, environment

GROUP = 10_000
"""Rows of one Parquet row group."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Peaks in MiB by role over `rows` rows, and over ten times as many."""

    rows: int
    small: Mapping[str, float]
    large: Mapping[str, float]


def grow(folder: Path, rows: int) -> Growth:
    """Run the same pipeline over `rows` rows and over ten times as many."""
    return Growth(rows, *(_peaks(folder / str(count), count) for count in (rows, 10 * rows)))


def _peaks(folder: Path, rows: int) -> Mapping[str, float]:
    folder.mkdir(parents=True)
    _write(folder / "texts.parquet", rows)
    pipeline = {
        "name": "memory",
        "source": {"kind": "parquet", "path": str(folder / "texts.parquet")},
        "stages": [{"task": "benchmarks.stages:Words"}],
        "sink": {"kind": "parquet", "path": str(folder / "out")},
    }
    file = folder / "pipeline.yaml"
    file.write_text(yaml.safe_dump(pipeline))
    command = [sys.executable, "-m", "jobs.cli", "run", str(file)]
    took = measure(command, environment(), ROOT)
    if took.code:
        raise RuntimeError(f"the memory run failed with code {took.code}:\n{took.output[-2000:]}")
    return {**took.roles_mb, "everything": took.peak_mb}


def _write(path: Path, rows: int) -> None:
    """Write `rows` texts; the same GROUP of them over and over, which is quick to make."""
    table = pa.table({"text": texts(GROUP)})
    with pq.ParquetWriter(path, table.schema) as writer:
        for start in range(0, rows, GROUP):
            writer.write_table(table.slice(0, min(GROUP, rows - start)))
