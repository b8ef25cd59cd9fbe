"""Sinks: one file per kind of output. Adding a kind is adding its file, and its name below."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from actors.errors import nearest
from pipelines.sinks.base import Sink
from pipelines.sinks.delta import DeltaSink
from pipelines.sinks.iceberg import IcebergSink
from pipelines.sinks.parquet import ParquetSink

__all__ = ["SINKS", "AnySink", "DeltaSink", "IcebergSink", "ParquetSink", "Sink"]

SINKS = ("parquet", "delta", "iceberg")
"""The kinds of sink there are."""


def _known(given: Any) -> Any:
    """Refuse a kind that is unknown, with the words that help; left out, it is Parquet."""
    if not isinstance(given, dict):
        return given
    kind = given.get("kind", "parquet")
    if kind in SINKS:
        return {**given, "kind": kind}
    raise PydanticCustomError(
        "sink_kind",
        "{said}; kinds: {kinds}",
        {
            "said": f"there is no sink kind {kind!r}{nearest(str(kind), SINKS)}",
            "kinds": ", ".join(SINKS),
        },
    )


AnySink = Annotated[
    Annotated[ParquetSink | DeltaSink | IcebergSink, Field(discriminator="kind")],
    BeforeValidator(_known),
]
"""The `sink:` block of a pipeline file: one of the kinds, told apart by `kind`."""
