"""Sources: one file per kind of input. Adding a kind is adding its file, and its name below."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from actors.errors import nearest
from pipelines.sources.audio import Audio
from pipelines.sources.base import Read, Reject, Skipped, Source, answer_schema
from pipelines.sources.csv import Csv
from pipelines.sources.delta import Delta
from pipelines.sources.iceberg import Iceberg
from pipelines.sources.images import Images
from pipelines.sources.jsonl import Jsonl
from pipelines.sources.parquet import Parquet
from pipelines.sources.sql import Sql
from pipelines.sources.text import Text
from pipelines.sources.video import Video

__all__ = [
    "AnySource", "Audio", "Csv", "Delta", "Iceberg", "Images", "Jsonl", "KINDS", "LATER", "Parquet",
    "Read", "Reject", "Skipped", "Source", "Sql", "Text", "Video", "answer_schema",
]  # fmt: skip

KINDS = ("parquet", "jsonl", "csv", "text", "images", "audio", "video", "delta", "iceberg", "sql")
"""The kinds of source there are."""

LATER = ("webdataset", "lance", "hub")
"""The kinds of source that are named already and not there yet."""


def _known(given: Any) -> Any:
    """Refuse a kind that is missing, unknown, or not there yet, with the words that help."""
    kind = given.get("kind") if isinstance(given, dict) else None
    if not isinstance(given, dict) or kind in KINDS:
        return given
    if kind in LATER:
        said = f"the source kind '{kind}' is not there yet"
    elif kind is None:
        said = "the source does not say its kind"
    else:
        said = f"there is no source kind {kind!r}{nearest(str(kind), KINDS)}"
    raise PydanticCustomError(
        "source_kind", "{said}; kinds: {kinds}", {"said": said, "kinds": ", ".join(KINDS)}
    )


AnySource = Annotated[
    Annotated[
        Parquet | Jsonl | Csv | Text | Images | Audio | Video | Delta | Iceberg | Sql,
        Field(discriminator="kind"),
    ],
    BeforeValidator(_known),
]
"""The `source:` block of a pipeline file: one of the kinds, told apart by `kind`."""
