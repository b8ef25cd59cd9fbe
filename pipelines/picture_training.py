"""The training file of a model of good pictures as a typed object, and the pictures it names."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from actors.errors import UsageError, nearest
from pipelines.sources import AnySource, Source
from pipelines.spec import Spec
from pipelines.training import UNIT_BYTES, read_unit
from pipelines.units import Cutter, Extent, pieces

IMAGE = "image"
"""What a picture's column is called where it is learned from."""


class PictureSplit(Spec):
    """How good pictures are divided, to set the threshold by comparing each part with the others;
    all are learned from."""

    parts: int = Field(5, ge=2, le=10, description="how many; each is compared with the others")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="another seed, other parts and model")


class PictureTraining(Spec):
    """A training file: pictures that are good, and where the model goes."""

    task: Literal["anomaly-detection"]
    source: AnySource
    column: str = Field(IMAGE, description="the column of pictures, bytes of image files")
    model: str = Field(
        "embedded:efficientnet-lite0",
        description="what describes the pictures' places: embedded:NAME, org/name or ./folder,"
        " such as facebook/dinov2-small",
    )
    revision: str | None = Field(None, description="the model's revision")
    side: int | None = Field(
        None, ge=32, le=2_048, description="pixels of the square that a picture is shown as"
    )
    vectors: int = Field(
        4_096, ge=16, le=262_144, description="most places of good pictures that are kept"
    )
    false_alarms: float = Field(
        0.01, ge=0.0001, le=0.5, description="share of good pictures that may be called anomalous"
    )
    split: PictureSplit = PictureSplit()
    max_pictures: int = Field(
        10_000, ge=10, description="learn from at most so many, drawn evenly by the seed"
    )
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads; default: all")
    output: str = Field(min_length=1, description="the model's folder, relative to the file")


@dataclass(frozen=True)
class Pictures:
    """Some pictures of a source, which can be read again and again: `wanted` says which rows,
    bool (rows,)."""

    source: Source
    column: str
    extents: list[Extent]
    wanted: np.ndarray

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the pictures in the source's order, read in pieces of bounded size.

        A picture that cannot be read is null. Raises SourceFailed.
        """
        columns = pa.schema([(self.column, pa.binary())])
        cutter = Cutter(_wanted(self.extents, self.wanted), UNIT_BYTES)
        while unit := cutter.next(1 << 20):
            for value in read_unit(self.source, unit, columns)[self.column]:
                yield {IMAGE: value.as_py()}


def parts_of(training: PictureTraining, base: Path) -> list[Pictures]:
    """Find the pictures, and draw which of them are in which part.

    Raises UsageError, SourceFailed.
    """
    source: Source = training.source
    files = source.files(base)
    offered = source.offers(files, new=lambda: files)
    _check_column(training.column, offered)
    columns = pa.schema([(training.column, pa.binary())])
    extents = [source.opens(file, columns) for file in files]
    rows = sum(extent.rows for extent in extents)
    order = np.random.default_rng(training.split.seed).permutation(rows)[: training.max_pictures]
    return [
        Pictures(source, training.column, extents, np.isin(np.arange(rows), drawn))
        for drawn in np.array_split(order, training.split.parts)
    ]


def _check_column(name: str, offered: pa.Schema) -> None:
    if name not in offered.names:
        raise UsageError(
            f"the source has no column '{name}'{nearest(name, offered.names)}.\n"
            f"  columns: {', '.join(offered.names)}; to name another:  column: NAME"
        )
    kind = offered.field(name).type
    if not pa.types.is_binary(kind) and not pa.types.is_large_binary(kind):
        raise UsageError(f"column '{name}' is {kind}; pictures are bytes of image files (binary).")


def _wanted(extents: list[Extent], wanted: np.ndarray) -> Iterator[tuple[Extent, int, int]]:
    """The pieces of files that hold the wanted rows, and no others."""
    start = 0
    for extent in extents:
        here = wanted[start : start + extent.rows]
        start += extent.rows
        edges = np.flatnonzero(np.diff(np.pad(~here, 1).astype(np.int8))).tolist()
        others = list(zip(edges[::2], edges[1::2], strict=True))
        if here.any():
            yield from pieces(extent, others)
