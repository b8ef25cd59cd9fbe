"""Images: one encoded file is one row. Nothing is decoded here."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from pipelines.sources.base import Read, Reject, Source
from pipelines.sources.columns import agree
from pipelines.sources.whole import read_whole, whole_table
from pipelines.units import Extent, SourceFile, Unit

SCHEMA = pa.schema([("path", pa.string()), ("image", pa.binary())])


class Images(Source):
    """Rows from image files: `path`, where the file is, and `image`, its bytes."""

    endings: ClassVar[tuple[str, ...]] = (
        ".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif",
    )  # fmt: skip

    kind: Literal["images"] = "images"
    max_bytes: int = Field(
        default=256 << 20,
        ge=1,
        description="Largest file; larger ones are rejected. 64 megapixels unpacked are 192 MB.",
    )

    def columns_of(self, files: Sequence[SourceFile]) -> pa.Schema:
        """Return `path` and `image`."""
        return SCHEMA

    def extent(self, file: SourceFile, columns: pa.Schema | None = None) -> Extent:
        """One row; the file is not opened."""
        agree(file, SCHEMA, columns or SCHEMA)
        return Extent(file, 1, file.size)

    def read(self, unit: Unit, columns: pa.Schema) -> Read:
        """Read the files' bytes; an empty file is a reject."""
        read, skipped = read_whole(unit, self.max_bytes)
        rows = [(file, _checked(got)) for file, got in read]
        return Read(whole_table(rows, "image", columns), skipped)


def _checked(got: bytes | Reject) -> bytes | Reject:
    return got or Reject("empty_file", "the file has no bytes")
