"""The machines of the connected Ray: those that are there, and those its autoscaler may add."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

import psutil
import yaml

from actors.errors import RunFailed
from pipelines.machines import Machine, Machines, Need, Room

WAIT_SECONDS = 1800.0
"""Longest wait for machines: a cloud gives one in minutes, or, when it has none, says so for hours.
A schedule or the next command tries again."""

SETTLE_SECONDS = 10.0
"""Nodes report what they have free once a second or so."""

SAY_SECONDS = 30.0
"""How often a wait is told of."""

MOST_OF_A_TYPE = 1000
"""Machines of one type that are reckoned with: more is beyond what Ray clusters are known for."""


def machines(shared: bool) -> Machines:
    """The machines of the connected Ray, and what its autoscaler may add.

    Of a `shared` one, what others use of its machines now counts as still to come.
    """
    import ray
    from ray._private.state import available_resources_per_node

    free = available_resources_per_node() if shared else {}
    alive = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
    total = [_machine(resources, node) for node, resources in alive.items()]
    there = [_machine(free.get(node, resources), node) for node, resources in alive.items()]
    busy = [whole for whole, part in zip(total, there, strict=True) if whole != part]
    added = _to_come(total, _node_types(ray.get_runtime_context().gcs_address))
    return Machines(tuple(there), (*busy, *added))


def _machine(resources: Mapping[str, float], node: str) -> Machine:
    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    return Machine(cpus, gpus, node, resources.get("memory", 0.0))


def _to_come(there: Sequence[Machine], types: Mapping[str, Any]) -> Iterator[Machine]:
    """What the node types allow beyond what is there."""
    running = Counter(there)
    for each in types.values():
        shape = each.get("resources") or {}
        memory = float(shape.get("memory", inf))
        machine = Machine(float(shape.get("CPU", 0)), float(shape.get("GPU", 0)), memory=memory)
        most = min(int(each.get("max_workers", 0)), MOST_OF_A_TYPE)
        yield from [machine] * max(0, most - running[machine])


def _node_types(address: str) -> Mapping[str, Any]:
    """The node types of the autoscaler of the Ray at this address, when it runs on this machine.

    It publishes its configuration nowhere; the file is named in how it was started.
    """
    for process in psutil.process_iter():
        command = _command(process)
        if f"--gcs-address={address}" not in command:
            continue
        for argument in command:
            name, _, file = argument.partition("=")
            if name == "--autoscaling-config" and file:
                return _read_types(Path(file).expanduser())
    return {}


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return list(process.cmdline())
    return []


def _read_types(file: Path) -> Mapping[str, Any]:
    """`available_node_types` of a cluster file, as `ray up` reads it; empty if it has none."""
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    types = content.get("available_node_types") if isinstance(content, dict) else None
    most = content.get("max_workers", MOST_OF_A_TYPE) if isinstance(content, dict) else 0
    return {
        name: {**kind, "max_workers": min(kind.get("max_workers", most), most)}
        for name, kind in (types or {}).items()
        if name != content.get("head_node_type")
    }


def wait_for(actors: Sequence[Need], have: Machines, say: Callable[[str], None]) -> Machines:
    """Wait until the machines have room for all of these actors at once; return what is there then.

    Returns at once when there is nothing to wait for. Raises RunFailed when no machines come.
    """
    from ray.util.placement_group import placement_group, remove_placement_group

    if not have.to_come or Room(have.there).put_all(actors) is not None:
        return have
    # A group that is not placed yet is what autoscalers see as demand, whatever their version.
    group = placement_group([_bundle(*actor) for actor in actors], strategy="PACK")
    start = time.monotonic()
    try:
        while not group.wait(SAY_SECONDS if time.monotonic() > start + 1 else 1):
            waited = time.monotonic() - start
            if waited > WAIT_SECONDS:
                raise RunFailed(_nothing_came(actors, machines(shared=True)))
            say(f"waiting for {_missing(actors, machines(shared=True))}, {waited:.0f} s")
    finally:
        remove_placement_group(group)
    return _settled(actors)


def _settled(actors: Sequence[Need]) -> Machines:
    """The machines when Ray's accounts show that the group has given its room back."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        found = machines(shared=True)
        if Room(found.there).put_all(actors) is not None or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def _bundle(cpus: float, gpus: float, memory: float = 0.0) -> dict[str, float]:
    asked = {"CPU": cpus, "GPU": gpus, "memory": memory}
    return {name: amount for name, amount in asked.items() if amount}


def _missing(actors: Sequence[Need], have: Machines) -> str:
    """ "2 machines": how many of those to come it takes."""
    for count in range(len(have.to_come) + 1):
        if Room((*have.there, *have.to_come[:count])).put_all(actors) is not None:
            break
    if not count:
        return "room on the machines that are there"
    return f"{count} machine{'s' if count > 1 else ''}"


def _nothing_came(actors: Sequence[Need], have: Machines) -> str:
    there = Counter(str(machine) for machine in have.there)
    listed = ", ".join(f"{count} x {shape}" for shape, count in there.items())
    return (
        f"no machines came in {WAIT_SECONDS / 60:.0f} minutes: still waiting for "
        f"{_missing(actors, have)}.\n  there are: {listed or 'none'}\n"
        "  see why with  ray status  on the cluster; run again to go on"
    )
