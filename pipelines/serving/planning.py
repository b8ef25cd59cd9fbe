"""The plan of a service: that of a run, from a source that need not be there."""

from pathlib import Path

import pyarrow as pa

from actors.errors import UsageError
from pipelines.plan import Plan, make_plan
from pipelines.serving.answers import WHY
from pipelines.sources import Text
from pipelines.sources.columns import offered, parse_types
from pipelines.sources.typed import TypedLines
from pipelines.sources.whole import WholeFiles
from pipelines.spec import Pipeline


def plan_service(pipeline: Pipeline, file: str, base: Path, cache: Path) -> Plan:
    """Check a pipeline for serving; loads no model, and leaves source and sink alone.

    Files of text, pictures, recordings and videos have known columns; of tables the source is
    looked into, or its `columns` are taken where it is not there. Raises UsageError.
    """
    plan = make_plan(pipeline, file, base, cache, _columns(pipeline, file, base))
    if WHY in plan.columns.names:
        raise UsageError(
            f"{file}: a service says under {WHY!r} why a row is not answered, and here it is a "
            "column.\n  call the column otherwise, with  output:  of the stage, or leave it out "
            "of  keep:"
        )
    return plan


def _columns(pipeline: Pipeline, file: str, base: Path) -> pa.Schema:
    source = pipeline.source
    try:
        if isinstance(source, WholeFiles | Text):
            return source.offers(())
        return source.offers(source.files(base))
    except UsageError as error:
        if isinstance(source, TypedLines) and source.columns:
            return offered(parse_types(source.columns))
        raise UsageError(
            f"{file}: a service takes rows of the source's columns, which cannot be told: {error}\n"
            "  name a small file of the same columns:  --set source.path=EXAMPLE_FILE"
            + ("\n  or say the columns in the file:  columns: {text: string}" * _says(source))
        ) from None


def _says(source: object) -> bool:
    """Whether the columns can be said in the pipeline file."""
    return isinstance(source, TypedLines)
