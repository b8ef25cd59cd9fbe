"""Images: one encoded file is one row. Nothing is decoded here."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from actors.errors import RowRejected
from pipelines.sources.whole import WholeFiles


class Images(WholeFiles):
    """Rows from image files: `path`, where the file is, and `image`, its bytes."""

    layout: ClassVar[pa.Schema] = pa.schema([("path", pa.string()), ("image", pa.binary())])
    endings: ClassVar[tuple[str, ...]] = (
        ".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif",
    )  # fmt: skip

    kind: Literal["images"] = "images"
    max_bytes: int = Field(
        default=256 << 20,
        ge=1,
        description="Largest file; larger ones are rejected. 64 megapixels unpacked are 192 MB.",
    )

    def row(self, data: bytes) -> Mapping[str, Any]:
        """Return `image`; an empty file is a reject."""
        if not data:
            raise RowRejected("empty_file", "the file has no bytes")
        return {"image": data}
