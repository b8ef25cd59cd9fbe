"""The machines that a run can use: those that are there, and those that may still come."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil, inf

FINEST = 4
"""Decimals of a CPU or GPU: Ray counts in units of 0.0001."""

MEMORY_STEP = 2**28
"""Machines whose free memory differs by less, 256 MiB, are taken for the same: what Ray counts as a
machine's memory differs by some MB between equal ones."""

Need = tuple[float, ...]
"""What one actor needs: CPUs, GPUs, and bytes of memory, if that is known."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What one machine has for work; `node` is its name in Ray, empty where it has none.

    `memory` is what actors may have of it, in bytes; infinite where that is not known.
    """

    cpus: float
    gpus: float = 0.0
    node: str = field(default="", compare=False)
    memory: float = field(default=inf, compare=False)

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPUs"]
        parts += [f"{self.gpus:g} GPUs"] if self.gpus else []
        parts += [f"{self.memory / 2**30:.1f} GiB"] if 0 < self.memory < inf else []
        return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)


@dataclass(frozen=True, slots=True)
class Machines:
    """What a cluster has: `there` now, and `to_come` at most when its autoscaler adds machines."""

    there: tuple[Machine, ...]
    to_come: tuple[Machine, ...] = ()

    @property
    def all(self) -> tuple[Machine, ...]:
        """The cluster at its largest."""
        return self.there + self.to_come

    @property
    def cpus(self) -> float:
        """CPUs of the machines that are there."""
        return sum(machine.cpus for machine in self.there)

    @property
    def gpus(self) -> float:
        """GPUs of the machines that are there."""
        return sum(machine.gpus for machine in self.there)


Free = tuple[float, tuple[float, ...], float]
"""What is free on a machine: CPUs, the free share of each of its GPUs, ascending, and memory in
units of MEMORY_STEP."""


class Room:
    """What is still free on machines, which are told by their place in the list.

    Machines that have the same left are kept together, so that a thousand are as quick as two.
    """

    def __init__(self, machines: Iterable[Machine]) -> None:
        self._free: defaultdict[Free, list[int]] = defaultdict(list)
        for place, machine in enumerate(machines):
            memory = machine.memory if machine.memory == inf else machine.memory // MEMORY_STEP
            gpus = (1.0,) * int(machine.gpus)
            self._free[round(machine.cpus, FINEST), gpus, memory].append(place)

    def put(self, cpus: float, gpus: float = 0.0, memory: float = 0.0) -> int | None:
        """Take room for one actor on the machine that it fits most tightly; None if it fits none.

        Work without GPUs goes to machines without them, where it can.
        """
        placed = self.put_all([(cpus, gpus, memory)])
        return placed[0] if placed else None

    def put_all(self, actors: Sequence[Need]) -> list[int] | None:
        """Take room for all of these, or for none; where each is, in their order."""
        placed: dict[int, int] = {}
        moves: list[tuple[Free, Free, int]] = []
        # The largest first, or the small ones lie where these would fit.
        for n in sorted(
            range(len(actors)), key=lambda n: (-actors[n][1], *(-x for x in actors[n][::2]))
        ):
            move = self._take(*actors[n])
            if move is None:
                for before, after, machine in reversed(moves):
                    self._move(after, before, machine)
                return None
            moves.append(move)
            placed[n] = move[2]
        return [placed[n] for n in range(len(actors))]

    def _take(self, cpus: float, gpus: float, memory: float = 0.0) -> tuple[Free, Free, int] | None:
        steps = ceil(memory / MEMORY_STEP)
        fitting = [free for free in self._free if _fits(free, cpus, gpus, steps)]
        if not fitting:
            return None
        before = min(fitting, key=lambda free: (len(free[1]) if not gpus else 0, free))
        after, machine = _less(before, cpus, gpus, steps), self._free[before][-1]
        self._move(before, after, machine)
        return before, after, machine

    def _move(self, before: Free, after: Free, machine: int) -> None:
        self._free[before].remove(machine)
        if not self._free[before]:
            del self._free[before]
        self._free[after].append(machine)


def _fits(free: Free, cpus: float, gpus: float, memory: float) -> bool:
    if free[0] < round(cpus, FINEST) or free[2] < memory:
        return False
    return not gpus or (
        free[1].count(1.0) >= gpus if gpus > 1 else any(part >= gpus for part in free[1])
    )


def _less(free: Free, cpus: float, gpus: float, memory: float) -> Free:
    """What is left of a machine's room; a share of a GPU comes off the fullest that has it."""
    parts = list(free[1])
    if gpus > 1:
        parts = [1.0] * (parts.count(1.0) - int(gpus)) + [part for part in parts if part < 1]
    elif gpus:
        place = next(n for n, part in enumerate(parts) if part >= gpus)
        parts[place] = round(parts[place] - gpus, FINEST)
    return round(free[0] - cpus, FINEST), tuple(sorted(parts)), free[2] - memory
