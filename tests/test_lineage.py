"""OpenLineage events, held against the standard's own Python package."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from openlineage.client import event_v2, facet_v2
from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics
from openlineage.client.serde import Serde

from actors.errors import UsageError
from jobs.prepare import prepare
from jobs.telling.lineage import Counts, Lineage, dataset, parent_of, run_uuid
from pipelines.file import parse
from tests.world import World

PARENT = "airflow/dag.task/0190c0de-0000-7000-8000-000000000001"
CLASSES = {
    "schema": facet_v2.schema_dataset.SchemaDatasetFacet,
    "inputStatistics": facet_v2.input_statistics_input_dataset.InputStatisticsInputDatasetFacet,
    "outputStatistics": statistics.OutputStatisticsOutputDatasetFacet,
    "parent": facet_v2.parent_run.ParentRunFacet,
    "errorMessage": facet_v2.error_message_run.ErrorMessageRunFacet,
    "processing_engine": facet_v2.processing_engine_run.ProcessingEngineRunFacet,
}
NESTED = {
    "fields": lambda found: [facet_v2.schema_dataset.SchemaDatasetFacetFields(**f) for f in found],
    "run": lambda found: facet_v2.parent_run.Run(**found),
    "job": lambda found: facet_v2.parent_run.Job(**found),
}


def facets(found: dict[str, Any]) -> dict[str, Any]:
    """The same facets as the package's objects; unknown fields are errors."""
    made = {}
    for name, facet in found.items():
        fields = {k: NESTED.get(k, lambda v: v)(v) for k, v in facet.items() if k[0] != "_"}
        made[name] = CLASSES[name](**fields, producer=facet["_producer"])
    return made


def rebuilt(event: dict[str, Any]) -> dict[str, Any]:
    """The event as the package writes it."""
    run, job = event["run"], event["job"]
    made = event_v2.RunEvent(
        eventType=event_v2.RunState(event["eventType"]),
        eventTime=event["eventTime"],
        producer=event["producer"],
        run=event_v2.Run(run["runId"], facets(run["facets"])),
        job=event_v2.Job(job["namespace"], job["name"], {}),
        inputs=[
            event_v2.InputDataset(
                i["namespace"],
                i["name"],
                facets=facets(i["facets"]),
                inputFacets=facets(i["inputFacets"]),
            )
            for i in event["inputs"]
        ],
        outputs=[
            event_v2.OutputDataset(
                o["namespace"],
                o["name"],
                facets=facets(o["facets"]),
                outputFacets=facets(o["outputFacets"]),
            )
            for o in event["outputs"]
        ],
    )
    return without_empty(json.loads(Serde.to_json(made)))


def without_empty(value: Any) -> Any:
    """The package leaves out what is empty."""
    if isinstance(value, dict):
        return {k: w for k, v in value.items() if (w := without_empty(v)) not in ({}, [], None)}
    return [without_empty(v) for v in value] if isinstance(value, list) else value


@pytest.fixture
def lineage(tmp_path: Path) -> Lineage:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    data = {
        "name": "p",
        "source": {"kind": "jsonl", "path": "a.jsonl"},
        "stages": [{"task": "tests.stages.echo:Echo"}],
        "sink": {"path": "out"},
    }
    ready = prepare(parse(data, "p.yaml"), "p.yaml", tmp_path, tmp_path)
    file = tmp_path / "events.jsonl"
    return Lineage(file, ready.plan, ready.files, ready.store, "r1", PARENT)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_events_are_what_the_standards_own_package_writes(lineage: Lineage) -> None:
    lineage.start()
    lineage.stop("COMPLETE", Counts(3, 1))
    lineage.stop("FAIL", None, "no room left")
    events = lines(lineage.file)
    assert [event["eventType"] for event in events] == ["START", "COMPLETE", "FAIL"]
    for event in events:
        assert without_empty(event) == rebuilt(event)
    assert {event["run"]["runId"] for event in events} == {run_uuid("r1")}


def test_an_event_names_what_was_read_and_written(lineage: Lineage, tmp_path: Path) -> None:
    event = lineage.event("COMPLETE", Counts(3, 1), None)
    (read,), (wrote,) = event["inputs"], event["outputs"]
    assert (read["namespace"], read["name"]) == ("file", str(tmp_path / "a.jsonl"))
    assert (wrote["namespace"], wrote["name"]) == ("file", str(tmp_path / "out"))
    assert read["inputFacets"]["inputStatistics"]["rowCount"] == 4
    assert wrote["outputFacets"]["outputStatistics"]["rowCount"] == 3
    names = [field["name"] for field in wrote["facets"]["schema"]["fields"]]
    assert names == lineage.plan.columns.names
    assert event["run"]["facets"]["parent"]["job"] == {"namespace": "airflow", "name": "dag.task"}
    assert isinstance(lineage.plan.columns, pa.Schema)


def test_uris_are_named_as_the_standard_says_and_without_secrets(tmp_path: Path) -> None:
    named = dataset("s3://key:secret@bucket/a/b?region=x", tmp_path)
    assert named == {"namespace": "s3://bucket", "name": "a/b"}


def test_a_file_that_cannot_be_written_and_a_wrong_parent_are_refused(lineage: Lineage) -> None:
    nowhere = Lineage(Path("/nowhere/x"), lineage.plan, lineage.files, lineage.store, "r", None)
    with pytest.raises(UsageError, match="lineage: /nowhere/x cannot be written"):
        nowhere.start()
    nowhere.stop("COMPLETE", None)
    with pytest.raises(UsageError, match="no NAMESPACE/JOB/RUN"):
        parent_of("airflow")


@pytest.mark.ray
def test_a_run_leaves_its_start_and_its_end(world: World) -> None:
    world.file |= {"lineage": "events.jsonl", "gates": {"rows": {"min": 2}}}
    world.lines("a.jsonl", ["x", "bad"])
    assert world.run().exit_code == 1
    world.run(held="accept")
    with pytest.raises(UsageError):
        world.run(held="accept")
    events = lines(world.path / "events.jsonl")
    kinds = ["START", "FAIL", "START", "COMPLETE", "START", "FAIL"]
    assert [event["eventType"] for event in events] == kinds
    assert len({event["run"]["runId"] for event in events}) == 3
    message = events[1]["run"]["facets"]["errorMessage"]["message"]
    assert message == "2 rows are held; rows: expected at least 2, seen 1"
