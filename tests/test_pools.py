"""Pools: every step gets its least, the rest goes where the time goes, and nothing hangs."""

from pathlib import Path

import pyarrow as pa
import pytest

from actors.errors import UsageError
from pipelines.file import parse
from pipelines.plan import Plan, make_plan
from pipelines.pools import side_cpus, sizes


def plan(*stages: dict[str, object]) -> Plan:
    specs = [
        {"task": "tests.stages.echo:Echo", "output": {"upper": f"u{n}", "score": f"s{n}"}} | stage
        for n, stage in enumerate(stages)
    ]
    data = {
        "name": "sizes",
        "source": {"kind": "text", "path": "x"},
        "stages": specs,
        "sink": {"kind": "parquet", "path": "out"},
    }
    schema = pa.schema([("path", pa.string()), ("text", pa.string())])
    return make_plan(parse(data, "sizes.yaml"), "sizes.yaml", Path(), Path(), schema)


def counts(made: Plan, cpus: float, gpus: float = 0.0, speed: tuple[float, ...] = ()) -> list[int]:
    known = dict(zip([s.label for s in made.steps], speed, strict=False))
    found = sizes(made, cpus, gpus, known)
    actors = sum(size.most for size in found.values())
    used = side_cpus(actors) + sum(size.most * size.cpus for size in found.values())
    assert used <= cpus + 1e-9
    return [size.most for size in found.values()]


def test_a_small_machine_is_shared() -> None:
    assert counts(plan({}, {}, {}), cpus=2) == [1, 1, 1]


def test_a_large_machine_is_shared_equally_when_nothing_is_known() -> None:
    assert counts(plan({}, {}, {}), cpus=16) == [5, 5, 5]


def test_actors_go_where_the_time_goes() -> None:
    assert counts(plan({}, {}, {}), cpus=16, speed=(9.0, 0.5, 0.5)) == [13, 1, 1]


def test_pools_obey_the_pipeline_file() -> None:
    made = plan({"pool": {"max": 2}}, {"resources": {"cpus": 4}}, {"pool": {"min": 3, "max": 3}})
    assert counts(made, cpus=16) == [2, 2, 3]


def test_gpus_bound_the_pool() -> None:
    assert counts(plan({"resources": {"gpus": 0.5}}), cpus=16, gpus=2) == [4]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"resources": {"cpus": 4}}, "needs 4.15 cpus, and there are 4"),
        ({"resources": {"gpus": 1}}, "needs 1 gpus, and there are 0"),
        ({"resources": {"cpus": 1}, "pool": {"min": 8}}, "needs 8.25 cpus, and there are 4"),
    ],
)
def test_a_plan_that_cannot_be_scheduled_is_refused(stage: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        counts(plan(stage), cpus=4)
