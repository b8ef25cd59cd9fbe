"""Several machines: each is a process tree of Ray's own, with resources of its own, and can die."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.dataset as ds
import pytest
import yaml

from tests.nodes import STORE, Nodes, ended

pytestmark = pytest.mark.ray

ROWS = 120

MANY = 300
"""Rows that take two actors a minute: time for a machine more to come and to be of use."""

QUICK = {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "3"}
"""A dead machine is noticed after 3 s instead of 15: what docs/scaling.md says of clusters."""


class Mill:
    """A folder with a source of texts and a pipeline of two echo stages, the second on a GPU."""

    def __init__(self, folder: Path, seconds: float, rows: int = ROWS, **second: Any) -> None:
        self.folder = folder
        (folder / "in").mkdir()
        lines = (json.dumps({"text": f"t{row}"}) for row in range(rows))
        (folder / "in/a.jsonl").write_text("\n".join(lines))
        first = self._stage(1, "text", {"seconds": seconds}, {})
        file = {
            "name": "nodes",
            "source": {"kind": "jsonl", "path": "in/"},
            "stages": [first, self._stage(2, "u1", {}, second)] if second else [first],
            "keep": ["u1"],
            "sink": {"kind": "parquet", "path": "out"},
        }
        (folder / "pipeline.yaml").write_text(yaml.safe_dump(file))

    def _stage(self, n: int, reads: str, options: dict, more: dict) -> dict[str, Any]:
        names = {"upper": f"u{n}", "score": f"s{n}"}
        task = {"task": "tests.stages.echo:Echo", "options": options}
        return {**task, "input": {"text": reads}, "output": names, **more}

    def rows(self) -> list[tuple[int, str]]:
        """Each row of the data that there is, by its place."""
        files = [str(path) for path in (self.folder / "out/data").glob("part-*.parquet")]
        table = ds.dataset(files).to_table().to_pylist() if files else []
        return sorted((row["_row"], row["u1"]) for row in table)

    def wait_for_rows(self, count: int, run: "subprocess.Popen[bytes]") -> None:
        """Wait until so many rows are in place."""
        deadline = time.monotonic() + 120
        while len(self.rows()) < count:
            assert time.monotonic() < deadline, self.log()
            assert run.poll() is None, self.log()
            time.sleep(0.2)

    def log(self) -> str:
        return (self.folder / "log.txt").read_text()[-3000:]

    def nodes_of(self, stage: str) -> dict[str, int]:
        """Which machines answered a stage's units, as --json tells."""
        report = json.loads((self.folder / "out.json").read_text())
        return report["status"]["steps"][f"{stage} (tests.stages.echo:Echo)"]["nodes"]


def answers(rows: int = ROWS) -> list[tuple[int, str]]:
    """What must stand in the data."""
    return [(row, f"T{row}") for row in range(rows)]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A head without CPUs, two machines with two, and one with a CPU and a GPU."""
    with Nodes({}, QUICK) as made:
        made.add(2)
        made.add(2)
        made.add(1, gpus=1)
        made.wait_for(4)
        yield made


def test_stages_run_where_they_belong_and_a_machine_that_dies_costs_no_row(
    nodes: Nodes, tmp_path: Path
) -> None:
    mill = Mill(tmp_path, 0.1, resources={"gpus": 1})
    listed = nodes.listed()
    gpu = {node["NodeID"] for node in listed if node["Resources"].get("GPU")}
    head = {node["NodeID"] for node in listed if "node:__internal_head__" in node["Resources"]}
    run = nodes.run(tmp_path)
    try:
        mill.wait_for_rows(1, run)
        assert {_kind(p) for p in nodes.head.family()} & {
            "Reader",
            "StepActor",
            "Committer",
        } == set()
        nodes.nodes[0].kill()
        assert run.wait(200) == 0, mill.log()
    finally:
        ended(run)
    assert mill.rows() == answers()
    assert set(mill.nodes_of("stage 2")) == gpu
    first = set(mill.nodes_of("stage 1"))
    assert first and not first & (gpu | head)


def _kind(process: psutil.Process) -> str:
    """ "ray::MapWorker(MapBatches(Reader)).submit" -> "Reader"."""
    try:
        return " ".join(process.cmdline()).split("MapBatches(")[-1].split(")")[0]
    except psutil.Error:
        return ""


def test_a_plan_that_no_machine_has_room_for_is_refused_though_the_sum_is_enough(
    nodes: Nodes, tmp_path: Path
) -> None:
    mill = Mill(tmp_path, 0.0, resources={"cpus": 2.5})
    run = nodes.run(tmp_path)
    try:
        assert run.wait(90) == 2, mill.log()
    finally:
        ended(run)
    assert (
        "an actor of stage 2 (tests.stages.echo:Echo) needs 2.5 CPUs, and no machine has so much"
        in (mill.log())
    )
    assert mill.rows() == []


def autoscaling(address: str) -> dict[str, Any]:
    """A cluster file: a head without CPUs, and up to two machines of two, which are made here."""
    worker = {"CPU": 2, "object_store_memory": STORE}
    module = "ray.autoscaler._private.fake_multi_node.node_provider"
    return {
        "cluster_name": "test",
        "max_workers": 2,
        "idle_timeout_minutes": 0.1,
        "provider": {
            "type": "external",
            "module": f"{module}.FakeMultiNodeProvider",
            "gcs_address": address,
            "head_node_id": HEAD,
            "launch_multiple": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": {"resources": worker, "node_config": {}, "max_workers": 2},
        },
        "head_node_type": "ray.head.default",
        **{name: {} for name in ("file_mounts", "auth", "head_node", "worker_nodes")},
        **{name: [] for name in COMMANDS},
    }


COMMANDS = [
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
    "cluster_synced_files",
    "rsync_exclude",
    "rsync_filter",
]
"""What the autoscaler expects in its file though nothing of it is done here."""

HEAD = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"
"""The node's name by which the fake provider knows the head."""

AUTOSCALED = {
    "RAY_FAKE_CLUSTER": "1",
    "RAY_enable_autoscaler_v2": "1",
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
}


@pytest.mark.chaos
def test_machines_are_waited_for_come_while_the_run_goes_on_and_leave_after_it(
    tmp_path: Path,
) -> None:
    mill = Mill(tmp_path, 0.4, MANY)
    named = {"RAY_CLOUD_INSTANCE_ID": HEAD, "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD}
    with Nodes({"autoscaling": autoscaling, "settings": named}, QUICK | AUTOSCALED) as nodes:
        assert len(nodes.wait_for(1)) == 1
        run = nodes.run(tmp_path)
        try:
            assert run.wait(180) == 0, mill.log()
        finally:
            ended(run)
        assert "waiting for 1 machine" in mill.log()
        assert mill.rows() == answers(MANY)
        assert len(mill.nodes_of("stage 1")) == 2
        nodes.wait_for(1, 60)
