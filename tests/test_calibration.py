"""A calibration measures the real stages, commits nothing, is kept, and is what a run goes by."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray

from actors.errors import StageFailed, UsageError
from jobs.cli import main
from jobs.clusters.capacity import meant, of_cluster, this_machine
from jobs.planning.calibrate import Place, calibrated
from jobs.planning.plan import look
from jobs.show import show
from pipelines import calibration
from pipelines.calibration import Known, known
from pipelines.host import this_host
from pipelines.machines import Machine, Machines
from pipelines.pools import ACTOR_BYTES, share
from tests.world import ECHO, World

STEP = f"stage 1 ({ECHO})"
ROOT = Path(__file__).parent.parent
FOUR = Place(machines=meant(4, 0, None, 1))


def measured(world: World, rows: int | None, place: Place = FOUR) -> dict[str, Any]:
    prepared = world.prepare()
    return calibrated(prepared, look(prepared), rows, place, lambda line: None)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, dict[str, Any]]:
    """A source of short rows and then long ones, some bad, and what measuring it said."""
    world = World(tmp_path_factory.mktemp("done"))
    world.lines("a.jsonl", ["x"] * 29 + ["bad"])
    world.lines("b.jsonl", ["x|x|x|x|x"] * 30)
    world.file["stages"][0]["options"] = {"seconds": 0.02}
    return world, measured(world, 20)


def test_long_rows_of_later_files_are_measured_too(done: tuple[World, dict[str, Any]]) -> None:
    (stage,) = done[1]["stages"]
    # 0.02 s an item: the first file's rows alone would take 0.02 s each, the second one's 0.1 s.
    assert stage["seconds a row"] > 0.05
    assert done[1]["rows"] == 20
    assert len(stage["seconds a row, by lot"]) == 4
    assert stage["rows a second"] == pytest.approx(1 / stage["seconds a row"])


def test_memory_and_loading_are_told(done: tuple[World, dict[str, Any]]) -> None:
    (stage,) = done[1]["stages"]
    assert 20e6 < stage["memory"] < 2e9
    assert stage["device memory"] == 0
    assert stage["load seconds"] > 0
    assert stage["bytes a row"] > 1


def test_what_a_run_takes_is_reckoned_from_it(done: tuple[World, dict[str, Any]]) -> None:
    report = done[1]
    assert (report["rows to answer"], report["bottleneck"]) == (60, STEP)
    assert report["seconds at best"] <= report["seconds"] <= report["seconds at worst"]
    assert report["one more"]["rows a second"] == pytest.approx(2 * report["rows a second"])
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_nothing_is_committed_and_show_names_it(done: tuple[World, dict[str, Any]]) -> None:
    world, report = done
    assert world.parts() == []
    shown = show("out", world.path)
    assert (shown["rows"], shown["rejected"], shown["runs"]) == (0, 0, [])
    assert shown["calibration"]["rows"] == 20
    assert shown["calibration"]["speed"] == {STEP: report["stages"][0]["seconds a row"]}


def test_it_is_reckoned_with_again_for_other_machines(done: tuple[World, dict[str, Any]]) -> None:
    world, report = done
    world.file["stages"][0]["pool"] = {"max": 8}
    again = measured(world, None, Place(machines=meant(4, 0, None, 2)))
    world.file["stages"][0]["pool"] = {"max": 1}
    assert again["stages"][0]["actors"] == 8
    assert again["rows a second"] == pytest.approx(8 * report["rows a second"])
    assert again["machines"] == [{"machine": "4 CPUs", "count": 2}]


def test_a_plan_for_which_memory_is_short_is_refused(done: tuple[World, dict[str, Any]]) -> None:
    with pytest.raises(UsageError) as caught:
        measured(done[0], None, Place(machines=meant(4, 0, 0.25, 1)))
    said = str(caught.value).splitlines()
    assert said[0].startswith("this plan needs 0.")
    assert said[0].endswith(" GiB of memory, and there are 0.2.")
    assert "resources: {memory: BYTES}" in said[3]


def test_rows_that_are_rejected_are_counted(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.lines("a.jsonl", ["x", "bad", None])
    world.stages({}, {})
    report = measured(world, 100)
    assert report["rows"] == 3
    assert {r["reason"]: r["rows"] for r in report["rejected"]} == {
        "stage_error": 1, "null_input": 1
    }  # fmt: skip
    assert [stage["rows"] for stage in report["stages"]] == [3, 1]


def test_a_stage_that_cannot_load_says_so(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.lines("a.jsonl", ["x"])
    world.stages({"suffix": "cannot load"})
    with pytest.raises(StageFailed, match="no weights here"):
        measured(world, 1)
    assert not (tmp_path / "out" / "_gristmill" / "calibrations").exists()


def test_a_source_without_rows_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.table("a.parquet", [])
    world.file["source"] = {"kind": "parquet", "path": "in/"}
    with pytest.raises(UsageError, match="no rows to measure"):
        measured(world, 1)


def test_a_run_goes_by_a_calibration_of_the_same_stages_only(
    done: tuple[World, dict[str, Any]],
) -> None:
    world, _ = done
    plan, store = world.prepare().plan, world.out
    found = known(store, plan)
    assert set(found.speed) == set(found.exact) == set(found.memory) == {STEP}
    threads = replace(plan.steps[0].device, threads=7)
    other = replace(plan, steps=(replace(plan.steps[0], device=threads),))
    assert known(store, other) == known(store, replace(plan, fingerprint="other")) == Known()


def test_of_another_machine_only_the_ratios_count(done: tuple[World, dict[str, Any]]) -> None:
    world, _ = done
    plan, store = world.prepare().plan, world.out
    mine = calibration.read(store, plan)
    assert mine is not None
    calibration.write(store, replace(mine, host=replace(mine.host, cpu="another")))
    found = known(store, plan)
    calibration.write(store, mine)
    assert (found.exact, found.speed) == ({}, mine.speed)


def test_memory_bounds_the_actors_of_a_machine(done: tuple[World, dict[str, Any]]) -> None:
    plan = done[0].prepare().plan
    step = replace(plan.steps[0], pool=plan.steps[0].pool.model_copy(update={"max": None}))
    plan, held = replace(plan, steps=(step,)), 2**30 - ACTOR_BYTES
    pools = share(plan, Machines((Machine(8, memory=3.5 * 2**30),)), {}, {STEP: held})
    assert (pools[STEP].most, pools[STEP].memory) == (3, 2**30)
    assert share(plan, Machines((Machine(8),)), {}, {STEP: held})[STEP].most == 8


def test_the_cluster_file_s_machines_are_planned_for() -> None:
    found = of_cluster(ROOT / "cluster.yaml", 50).there
    assert sorted({(m.cpus, m.gpus, m.memory) for m in found}) == [
        (8, 1, 50 * 2**30), (16, 0, 50 * 2**30)
    ]  # fmt: skip
    assert len(found) == 12


def test_this_machine_is_one() -> None:
    (machine,) = this_machine(with_gpus=False).there
    assert machine.cpus == this_host(with_gpus=False).cpus
    assert 0 < machine.memory < this_host(with_gpus=False).memory


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(tmp_path)
    world.lines("a.jsonl", ["x"])
    (tmp_path / "p.yaml").write_text(json.dumps(world.file))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield world


WRONG = {
    "--calibrate 3 --address auto --cpus 4": "--address and --cpus: the machines are said twice.\n"
    "  give one of them",
    "--nodes 3": "say how many CPUs each machine has:  --cpus 16",
    "--cluster no.yaml": "no.yaml: there is no such file (did you mean 'p.yaml'?).\n"
    "  YAML files in .: p.yaml\n"
    "  give the cluster's file:  gristmill cluster check FILE",
    "--cpus 4": "nothing is calibrated yet: PLACE/out has no measures of these stages.\n"
    "  measure them:  --calibrate 200",
    "--calibrate 1 --cpus 4 --set stages.0.resources.gpus=1": "this plan needs 1 gpus, and there "
    f"are 0.\n  asked for: {STEP} 1 x 1\n  lower  resources: {{gpus: ...}}  or  "
    "pool: {min: ...}, or run it on a larger machine or cluster",
    "--calibrate 1 --cpus 4 --gpus 1 --set stages.0.resources.gpus=1": f"{STEP} asks for 1 GPUs, "
    "and this machine has none, so it cannot be measured here.\n"
    "  measure where the GPU is:  --address auto  (on the cluster)  or  --address ADDR",
}


@pytest.mark.parametrize("flags", WRONG)
def test_what_cannot_be_planned_is_said(
    flags: str, place: World, capsys: pytest.CaptureFixture[str]
) -> None:
    if "gpus 1" in flags:
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("there is a GPU here")
    assert main(["plan", "p.yaml", *flags.split()]) == 2
    said = capsys.readouterr().err.removeprefix("error: ").removesuffix("\n")
    assert said == WRONG[flags].replace("PLACE", str(place.path))


@pytest.mark.parametrize("number", ["0", "-1", "some", "1.5"])
def test_a_number_of_rows_that_is_none_is_refused(
    number: str, place: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["plan", "p.yaml", "--calibrate", number])
    assert left.value.code == 2
    assert "--calibrate" in capsys.readouterr().err


def test_people_get_a_table(place: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "p.yaml", "--calibrate", "1", "--cpus", "4"]) == 0
    said = capsys.readouterr()
    assert said.err == f"{STEP}: loading, then 1 rows\n"
    assert "<- bottleneck" in said.out
    assert "1 rows to answer: " in said.out
    assert f"with one more actor of {STEP}: " in said.out


@pytest.mark.ray
@pytest.mark.chaos
def test_a_cluster_measures_on_its_machines_and_a_run_sets_memory_aside(world: World) -> None:
    world.lines("a.jsonl", ["x"] * 8)
    world.file["stages"][0]["options"] = {"seconds": 0.01}
    report = measured(world, 4, Place(address="auto"))
    assert report["stages"][0]["rows"] == 4
    asked: list[float] = []

    def watch(plan: Any, status: Any) -> None:
        total, free = (
            m().get("memory", 0.0) for m in (ray.cluster_resources, ray.available_resources)
        )
        asked.append(total - free)

    from jobs.outcome import Options
    from jobs.run import run

    assert run(world.prepare(), Options(), watch).rows == 8
    held = report["stages"][0]["memory"] * calibration.HEADROOM + ACTOR_BYTES
    assert max(asked) == pytest.approx(held, rel=0.01)
