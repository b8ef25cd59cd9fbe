"""The machines that a plan is made for: this one, a cluster that is there, or one that is meant."""

from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

import psutil

from actors.errors import UsageError
from actors.supervisor import machine_memory
from jobs.clusters.check import groups, read_cluster
from jobs.clusters.machines import MOST_OF_A_TYPE
from jobs.clusters.session import object_store_bytes
from pipelines.host import this_host
from pipelines.machines import Machine, Machines


def this_machine(with_gpus: bool) -> Machines:
    """This machine as Ray would count it if it started now."""
    host = this_host(with_gpus)
    free = min(psutil.virtual_memory().available, machine_memory()) - object_store_bytes()
    return Machines((Machine(float(host.cpus), float(host.gpus), memory=float(max(free, 0))),))


def meant(cpus: float, gpus: float, memory: float | None, nodes: int) -> Machines:
    """So many machines of this size; `memory` in GiB is what actors may have of each."""
    bytes_ = inf if memory is None else memory * 2**30
    return Machines((Machine(cpus, gpus, memory=bytes_),) * nodes)


def of_cluster(file: Path, memory: float | None) -> Machines:
    """The machines of a cluster file at its largest; its head, if that works.

    `memory` in GiB is what actors may have of each that does not say. Raises UsageError.
    """
    config = read_cluster(file)
    least = inf if memory is None else memory * 2**30
    most = int(config.get("max_workers") or MOST_OF_A_TYPE)
    found = [m for group in groups(config).values() for m in _machines(group, most, least)][:most]
    head = (config.get("available_node_types") or {}).get(config.get("head_node_type")) or {}
    found += _machines({**head, "max_workers": 1}, 1, least)
    if not found:
        raise UsageError(
            f"{file.name}: no group of it says what its machines have.\n"
            "  add to each of available_node_types:  resources: {CPU: 16}\n"
            "  or say what there is yourself:  --cpus 16 --nodes 4"
        )
    return Machines(tuple(found))


def _machines(group: dict[str, Any], most: int, memory: float) -> Iterator[Machine]:
    """A group's machines; none where it does not say what they have, or that they have nothing."""
    has = group.get("resources") or {}
    if not has.get("CPU") and not has.get("GPU"):
        return
    cpus, gpus = float(has.get("CPU", 0)), float(has.get("GPU", 0))
    machine = Machine(cpus, gpus, memory=float(has.get("memory", memory)))
    yield from [machine] * min(int(group.get("max_workers", most)), most, MOST_OF_A_TYPE)
