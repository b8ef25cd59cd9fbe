"""What sources of table formats share: the table's log names its files, which never change.

A file at one version is the file and the rows deleted from it: rows are counted over what is left,
so deleting some makes another version of the file.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import fs
from pyarrow import parquet as pq

from actors.errors import SourceFailed, UsageError
from pipelines.sources.base import MESSAGE_LENGTH, Changed, Source
from pipelines.sources.listing import file_system
from pipelines.sources.parquet import extent_of, no_columns, slice_of
from pipelines.units import Extent, SourceFile

SHOWN = 3
"""Names in a message before the rest is counted."""

Mask = npt.NDArray[np.bool_]
"""Which rows of a file are left."""


class Table(Source):
    """Base of sources whose files are those of a snapshot of a table."""

    rewrites: ClassVar[bool] = True

    def check(self, file: SourceFile) -> None:
        """Raise Changed unless the file is there at its size; tables never write a file anew."""
        try:
            info = file_system(file.home).get_file_info(file.path)
        except OSError as error:
            raise Changed(f"cannot be read: {error}"[:MESSAGE_LENGTH]) from error
        if info.type == fs.FileType.NotFound:
            raise Changed("vanished")
        if info.size != file.size:
            raise Changed("changed")


def note_of(file: SourceFile) -> dict[str, Any]:
    """Return what the table's log said of a file."""
    found: dict[str, Any] = json.loads(file.note)
    return found


def packed(live: Mask) -> str:
    """Return a mask as text; a million rows of which few are deleted are some hundred bytes."""
    return base64.b64encode(zlib.compress(np.packbits(live).tobytes())).decode()


def unpacked(text: str, rows: int) -> Mask:
    """Return the mask of a file with so many rows; rows beyond it are left."""
    bits = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    live = np.unpackbits(bits).astype(bool)[:rows]
    return np.concatenate([live, np.ones(rows - len(live), bool)])


def live_extent(file: SourceFile, opened: pq.ParquetFile, live: str | None) -> Extent:
    """Return a file's extent, deleted rows aside."""
    extent = extent_of(file, opened)
    if live is None:
        return extent
    rows = int(unpacked(live, extent.rows).sum())
    return Extent(file, rows, extent.bytes * rows // max(extent.rows, 1))


def live_slice(
    opened: pq.ParquetFile, live: str | None, start: int, stop: int, names: Sequence[str]
) -> pa.Table:
    """Read rows [start, stop) of those that are left, in the file's types."""
    if not names:
        return no_columns(stop - start)
    if live is None:
        return slice_of(opened, start, stop, names)
    places = np.flatnonzero(unpacked(live, opened.metadata.num_rows))[start:stop]
    rows = slice_of(opened, int(places[0]), int(places[-1]) + 1, names)
    return rows.take(pa.array(places - places[0]))


def conform(file: SourceFile, found: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """Return a column in the table's type; files may be older than it. Raise SourceFailed."""
    try:
        return found.cast(field.type)
    except pa.ArrowException as error:
        raise SourceFailed(
            f"source file {file.name!r} has column {field.name!r} as {found.type}, which does not "
            f"fit the table's {field.type}: {error}"
        ) from error


def not_installed(kind: str, package: str) -> NoReturn:
    """Raise the UsageError for a package that is missing."""
    raise UsageError(
        f"a source of kind {kind} needs the package {package}, which is not installed\n"
        f"  install it:  pip install 'gristmill[{kind}]'"
    )


def shortened(names: Sequence[str]) -> str:
    """Return a few of the names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(repr(name) for name in names[:SHOWN]) + more
