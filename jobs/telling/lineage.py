"""OpenLineage events of a run, one JSON object a line: what it read, what it wrote, how it ended.

The events are plain dictionaries: eight kinds of fields, against a package that would bring an
HTTP client and its own ideas of the environment. The tests hold them against that package.
"""

import json
import logging
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from actors.errors import UsageError
from pipelines.plan import Plan
from pipelines.sources.listing import shown
from pipelines.store import Store
from pipelines.units import SourceFile

_log = logging.getLogger(__name__)

SPEC = "https://openlineage.io/spec"
EVENT_SCHEMA = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"

FACETS = {
    "schema": "1-2-0/SchemaDatasetFacet",
    "inputStatistics": "1-0-0/InputStatisticsInputDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
    "parent": "1-2-0/ParentRunFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet",
    "processing_engine": "1-1-1/ProcessingEngineRunFacet",
}
"""Facet -> version and name of its schema, as openlineage-python 1.54 has them."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a run did, as far as it is known: good rows, rejects."""

    rows: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """Writes the events of one run to `file`; `parent` is NAMESPACE/JOB/RUN of what started it."""

    file: Path
    plan: Plan
    files: Sequence[SourceFile]
    store: Store
    run: str
    parent: str | None = None

    def start(self) -> None:
        """Say that the run begins. Raises UsageError if the file cannot be written."""
        try:
            self._write("START", None, None)
        except OSError as error:
            raise UsageError(
                f"lineage: {self.file} cannot be written: {error.strerror or error}.\n"
                "  name a file in a folder that is there"
            ) from None

    def stop(self, kind: str, counts: Counts | None, error: str | None = None) -> None:
        """Say how it ended: COMPLETE, FAIL or ABORT. A full disk costs the event, not the run."""
        try:
            self._write(kind, counts, error)
        except OSError as problem:
            _log.warning("lineage: %s cannot be written: %s", self.file, problem)

    def _write(self, kind: str, counts: Counts | None, error: str | None) -> None:
        line = json.dumps(self.event(kind, counts, error), ensure_ascii=False) + "\n"
        # One write to the end of the file: lines of runs that go on at once do not mix.
        handle = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def event(self, kind: str, counts: Counts | None, error: str | None) -> dict[str, Any]:
        """One RunEvent."""
        return {
            "eventType": kind,
            "eventTime": datetime.now(UTC).isoformat(),
            "producer": _producer(),
            "schemaURL": EVENT_SCHEMA,
            "run": {"runId": run_uuid(self.run), "facets": self._run_facets(error)},
            "job": {"namespace": "gristmill", "name": self.plan.pipeline.name, "facets": {}},
            "inputs": self._inputs(counts),
            "outputs": [self._output(counts)],
        }

    def _run_facets(self, error: str | None) -> dict[str, Any]:
        engine = {"name": "gristmill", "version": version("gristmill")}
        facets = {"processing_engine": _facet("processing_engine", **engine)}
        if self.parent:
            namespace, job, run = parent_of(self.parent)
            facets["parent"] = _facet(
                "parent", run={"runId": run}, job={"namespace": namespace, "name": job}
            )
        if error:
            facets["errorMessage"] = _facet(
                "errorMessage", message=error, programmingLanguage="PYTHON"
            )
        return facets

    def _inputs(self, counts: Counts | None) -> list[dict[str, Any]]:
        paths = getattr(self.plan.pipeline.source, "path", None) or self.plan.pipeline.source.kind
        several = [paths] if isinstance(paths, str) else list(paths)
        schema = {"schema": _schema(self.plan.source_schema)}
        read = {"fileCount": len(self.files), "size": sum(file.size for file in self.files)}
        if counts is not None and len(several) == 1:
            read["rowCount"] = counts.rows + counts.rejected
        statistics = {"inputStatistics": _facet("inputStatistics", **read)}
        return [
            dataset(path, self.plan.base)
            | {"facets": schema, "inputFacets": statistics if len(several) == 1 else {}}
            for path in several
        ]

    def _output(self, counts: Counts | None) -> dict[str, Any]:
        wrote = {"rowCount": counts.rows} if counts is not None else None
        facets = {"outputStatistics": _facet("outputStatistics", **wrote)} if wrote else {}
        return dataset(self.store.home or self.store.path, self.plan.base) | {
            "facets": {"schema": _schema(self.plan.columns)},
            "outputFacets": facets,
        }


def run_uuid(run: str) -> str:
    """A run's id as the UUID that the standard asks for; the same for the same run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"gristmill:{run}"))


def parent_of(written: str) -> tuple[str, str, str]:
    """NAMESPACE/JOB/RUN, as Airflow writes it; the run is a UUID. Raises UsageError."""
    namespace, _, rest = written.partition("/")
    job, _, run = rest.rpartition("/")
    try:
        return namespace, job, str(uuid.UUID(run))
    except ValueError:
        raise UsageError(
            f"--lineage-parent {written}: this is no NAMESPACE/JOB/RUN with a UUID as run.\n"
            "  in Airflow:  --lineage-parent {{ macros.OpenLineageProviderPlugin"
            ".lineage_parent_id(task_instance) }}"
        ) from None


def dataset(path: str, base: Path) -> dict[str, str]:
    """A path or URI as the standard names it: s3://bucket and key, or file and absolute path."""
    said = urlsplit(shown(path))
    if said.scheme:
        return {"namespace": f"{said.scheme}://{said.netloc}", "name": said.path.strip("/") or "/"}
    return {"namespace": "file", "name": os.path.normpath(base.absolute() / path)}


def _schema(schema: pa.Schema) -> dict[str, Any]:
    return _facet("schema", fields=[{"name": f.name, "type": str(f.type)} for f in schema])


def _facet(name: str, /, **fields: Any) -> dict[str, Any]:
    where, _, kind = FACETS[name].partition("/")
    url = f"{SPEC}/facets/{where}/{kind}.json#/$defs/{kind}"
    return {"_producer": _producer(), "_schemaURL": url, **fields}


def _producer() -> str:
    return f"urn:gristmill:{version('gristmill')}"
