"""Pools: every step gets its least, the rest goes where the time goes, and nothing hangs."""

import time
from pathlib import Path

import pyarrow as pa
import pytest

from actors.errors import UsageError
from pipelines.file import parse
from pipelines.machines import Machine, Machines
from pipelines.plan import Plan, make_plan
from pipelines.pools import Size, share, sizes


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
    used = sum(size.most * size.cpus for size in found.values())
    assert used <= cpus + 1e-9
    return most(made, found)


def most(made: Plan, found: dict[str, Size]) -> list[int]:
    return [found[step.label].most for step in made.steps]


def cluster(*there: Machine, to_come: tuple[Machine, ...] = ()) -> Machines:
    return Machines(there, to_come)


def test_a_small_machine_is_shared() -> None:
    assert counts(plan({}, {}, {}), cpus=2) == [1, 1, 1]


def test_a_large_machine_is_shared_equally_when_nothing_is_known() -> None:
    assert counts(plan({}, {}, {}), cpus=16) == [6, 5, 5]


def test_actors_go_where_the_time_goes() -> None:
    assert counts(plan({}, {}, {}), cpus=16, speed=(9.0, 0.5, 0.5)) == [14, 1, 1]


def test_pools_obey_the_pipeline_file() -> None:
    made = plan({"pool": {"max": 2}}, {"resources": {"cpus": 4}}, {"pool": {"min": 3, "max": 3}})
    assert counts(made, cpus=16) == [2, 2, 3]


def test_gpus_bound_the_pool() -> None:
    assert counts(plan({"resources": {"gpus": 0.5}}), cpus=16, gpus=2) == [4]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"resources": {"cpus": 4}}, "needs 4.03 cpus, and there are 4"),
        ({"resources": {"gpus": 1}}, "needs 1 gpus, and there are 0"),
        ({"resources": {"cpus": 1}, "pool": {"min": 8}}, "needs 8.05 cpus, and there are 4"),
    ],
)
def test_a_plan_that_cannot_be_scheduled_is_refused(stage: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        counts(plan(stage), cpus=4)


@pytest.mark.parametrize("cpus", [1, 2, 8])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_machines_of_any_size_have_an_actor_for_each_cpu(cpus: int, count: int) -> None:
    made = plan({})
    assert most(made, share(made, cluster(*[Machine(cpus)] * count), {})) == [cpus * count]


def test_a_head_without_cpus_gets_nothing() -> None:
    made = plan({})
    found = share(made, cluster(Machine(0, node="head"), Machine(2, node="a")), {})
    assert {node for size in found.values() for node in size.nodes} == {"a"}


def test_an_actor_that_is_larger_than_any_machine_is_refused_though_the_sum_is_enough() -> None:
    made = plan({"resources": {"cpus": 16}})
    with pytest.raises(UsageError, match=r"needs 16 CPUs, and no machine has so much.\n.*8 CPUs"):
        share(made, cluster(*[Machine(8)] * 4), {})


def test_actors_that_do_not_fit_side_by_side_are_not_counted() -> None:
    made = plan({"resources": {"cpus": 1.5}})
    assert most(made, share(made, cluster(*[Machine(2)] * 4), {})) == [4]


def test_pools_that_do_not_fit_together_are_refused_though_each_fits() -> None:
    made = plan({"resources": {"cpus": 3}, "pool": {"min": 3}})
    with pytest.raises(UsageError, match="does not fit on these 3 machines, though their sum"):
        share(made, cluster(Machine(6), Machine(2), Machine(2)), {})


def test_pools_start_with_the_machines_that_are_there_and_may_grow_to_those_to_come() -> None:
    made = plan({})
    found = share(made, cluster(Machine(2), to_come=(Machine(2),) * 3), {})
    size = found[made.steps[0].label]
    assert (size.least, size.first, size.most) == (2, 2, 8)


def test_a_cluster_that_begins_with_nothing_starts_with_the_smallest_pools() -> None:
    made = plan({"pool": {"min": 2}}, {"resources": {"gpus": 1}})
    found = share(made, cluster(Machine(0), to_come=(Machine(4), Machine(4, 2))), {})
    assert [found[s.label].first for s in made.steps] == [2, 1]
    assert most(made, found) == [6, 2]


def test_work_without_gpus_keeps_off_machines_that_have_them() -> None:
    """Or the stage that needs the GPU would wait for ever for the CPU beside it."""
    made = plan({}, {"resources": {"gpus": 1}})
    there = (Machine(1, 1, "gpu"), Machine(2, node="a"), Machine(2, node="b"))
    found = share(made, cluster(*there), {})
    assert [sorted(found[s.label].nodes) for s in made.steps] == [["a", "a", "b", "b"], ["gpu"]]


def test_a_thousand_machines_are_shared_out_in_seconds() -> None:
    made = plan({}, {"resources": {"gpus": 1}})
    start = time.monotonic()
    share(made, cluster(*[Machine(8)] * 900, *[Machine(8, 4)] * 100), {})
    assert time.monotonic() - start < 10
