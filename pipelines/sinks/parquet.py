"""Plain Parquet: the parts of the output folder are the data set."""

from typing import Literal

from pipelines.sinks.base import Sink


class ParquetSink(Sink):
    """A folder of Parquet files, for any reader, at every moment."""

    kind: Literal["parquet"] = "parquet"
