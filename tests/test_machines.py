"""Machines: what fits on them, which may still come, and what our own Ray leaves behind."""

import subprocess
import sys
import threading
from collections import Counter
from io import StringIO
from pathlib import Path

import psutil
import pytest
import yaml

from jobs.clusters import session
from jobs.clusters.machines import _missing, _node_types, _nothing_came, _read_types, _to_come
from pipelines.machines import Machine, Machines, Room


def test_an_actor_goes_where_it_fits_most_tightly() -> None:
    room = Room([Machine(8), Machine(2), Machine(4)])
    assert [room.put(2), room.put(3), room.put(8), room.put(1)] == [1, 2, 0, 2]
    assert room.put(0.5) is None


def test_work_without_gpus_takes_a_machine_with_them_last() -> None:
    room = Room([Machine(2, 1), Machine(2)])
    assert [room.put(1) for _ in range(5)] == [1, 1, 0, 0, None]


def test_two_that_need_most_of_a_gpu_do_not_share_one() -> None:
    room = Room([Machine(8, 2)])
    assert [room.put(1, 0.6) for _ in range(3)] == [0, 0, None]
    assert [room.put(1, 0.4) for _ in range(3)] == [0, 0, None]


def test_whole_gpus_are_not_made_of_shares() -> None:
    room = Room([Machine(8, 2)])
    assert room.put(1, 0.5) == 0
    assert room.put(1, 2) is None
    assert room.put(1, 1) == 0


def test_what_does_not_fit_together_takes_no_room_at_all() -> None:
    room = Room([Machine(4), Machine(4)])
    assert room.put_all([(3, 0), (3, 0), (3, 0)]) is None
    assert room.put_all([(1, 0), (4, 0), (3, 0)]) is not None


CLUSTER = {
    "max_workers": 5,
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 0}},
        "small": {"resources": {"CPU": 8}, "max_workers": 3},
        "gpu": {"resources": {"CPU": 16, "GPU": 4}},
    },
}


def test_machines_to_come_are_those_of_the_cluster_file_that_are_not_there_yet(
    tmp_path: Path,
) -> None:
    """The file is found by the autoscaler's own command."""
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(CLUSTER))
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    options = ["--gcs-address=10.0.0.1:6379", f"--autoscaling-config={file}"]
    monitor = subprocess.Popen([*command, *options])
    try:
        types = _node_types("10.0.0.1:6379")
        assert _node_types("10.0.0.2:6379") == {}
    finally:
        monitor.kill()
        monitor.wait()
    there = [Machine(0), Machine(8)]
    assert Counter(_to_come(there, types)) == {Machine(8): 2, Machine(16, 4): 5}


@pytest.mark.parametrize("text", ["", "[", "just words", "available_node_types:", "a: 1"])
def test_a_cluster_file_that_tells_nothing_lets_no_machine_come(text: str, tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(text)
    assert list(_to_come([], _read_types(tmp_path / "cluster.yaml"))) == []


def test_a_wait_says_how_many_machines_it_takes_and_what_there_is() -> None:
    have = Machines((Machine(0), Machine(2)), (Machine(2),) * 3)
    actors = [(1.0, 0.0)] * 6
    assert _missing(actors, have) == "2 machines"
    said = _nothing_came(actors, have)
    assert "no machines came in 30 minutes: still waiting for 2 machines" in said
    assert "there are: 1 x 0 CPUs, 1 x 2 CPUs" in said


def test_a_process_of_our_own_ray_that_hangs_while_it_leaves_is_ended(monkeypatch) -> None:
    monkeypatch.setattr(session, "LEAVE_SECONDS", 0.5)
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
    ours = subprocess.Popen([sys.executable, "-c", deaf, "/tmp/ray/session_ours"])
    other = subprocess.Popen([sys.executable, "-c", deaf, "/tmp/ray/session_theirs"])
    try:
        family = session._family("/tmp/ray/session_ours", [])
        assert [process.pid for process in family] == [ours.pid]
        session.end_left(family)
        assert ours.wait(5) == -9
        assert psutil.pid_exists(other.pid)
    finally:
        ours.kill()
        other.kill()
        other.wait()


def test_what_ray_prints_of_lost_machines_stays_off_standard_output() -> None:
    real = StringIO()
    out = session._NotOfRay(real)
    thread = threading.Thread(target=lambda: out.write("a node died"), name=session.RAY_PRINTS)
    thread.start()
    thread.join()
    print("a row", file=out)
    assert real.getvalue() == "a row\n"
