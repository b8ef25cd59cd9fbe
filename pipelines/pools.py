"""How many actors each step gets on the machines that there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType

from actors.errors import UsageError
from pipelines.machines import Machine, Machines, Need, Room
from pipelines.plan import Plan

ACTOR_CPUS = 0.96
"""CPUs of an actor whose step names none: one, less what its share of reading and committing takes.
So a machine of any number of CPUs, one included, has an actor for each and room for these."""

LEAST_CPUS = 0.01
"""Least CPUs of an actor: so many share one on a machine that is too small for the plan."""

READ_CPUS = 0.02
"""CPUs that a reader counts for: it mostly waits for a disk or a network, and it leaves its core to
the stages, which wait for it."""

COMMIT_CPUS = 0.01
"""CPUs that a committer counts for: it compresses some megabytes and waits for a disk."""

ACTORS_PER_READER, ACTORS_PER_COMMITTER = 4, 8
"""Stage actors that one reader, one committer serves: a unit is seconds of a model's work, and a
fraction of a second to read and to write. Both are actors, because Ray ends idle task processes
after a second, and each costs 1.3 CPU-s to start."""

MOST_ACTORS = 1000
"""Actors of one step: beyond this Ray's own scheduling is what a run waits for."""


ACTOR_BYTES = 400 * 2**20
"""Memory of an actor beside its model: 230 MiB for Python, Ray and Arrow, as measured, and a unit
of rows, which are more than a calibration holds at once: 110 MiB for 1,000 long texts."""

NOTHING_KNOWN: Mapping[str, int] = MappingProxyType({})

READ, COMMIT = "read", "commit"
"""The pools of readers and committers, beside those of the steps."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many actors a pool gets, and the CPUs, GPUs and bytes of memory of each; 0 bytes are set
    aside where it is not known what they hold.

    `first` when the run starts, on the machines that are there, and up to `most` when more come.
    `nodes` says where each of the first is put: left to itself, Ray fills the CPUs beside a GPU
    with work that needs none, and the stage that does waits for ever.
    """

    least: int
    first: int
    most: int
    cpus: float
    gpus: float
    memory: int = 0
    nodes: tuple[str, ...] = ()


def sizes(plan: Plan, cpus: float, gpus: float, speed: Mapping[str, float]) -> dict[str, Size]:
    """Share one machine out to the pools. Raises UsageError when they do not fit."""
    return share(plan, Machines((Machine(cpus, gpus),)), speed)


def share(
    plan: Plan,
    machines: Machines,
    speed: Mapping[str, float],
    memory: Mapping[str, int] = NOTHING_KNOWN,
) -> dict[str, Size]:
    """Share machines out to the pools, by label: as they are now, and with those that may come.

    Every step gets its smallest pool; then one actor after the other goes to the step that takes
    longest by `speed` (seconds a row, equal where unknown), while there is room. On machines too
    small for a CPU each, actors share CPUs. `memory` is what the model's process of each step
    holds, in bytes. Raises UsageError when it cannot be scheduled.
    """
    each = _each(plan, machines.all, memory)
    most = _placed(plan, machines.all, each, speed)
    if most is None:
        raise UsageError(_too_much(plan, machines.all, each))
    first = _placed(plan, machines.there, each, speed) if machines.to_come else most
    nodes = [machine.node for machine in machines.there]
    pools = {}
    for label, step in [*((s.label, s) for s in plan.steps), (READ, None), (COMMIT, None)]:
        least = step.pool.min if step else 1
        places = first[label] if first else []
        pools[label] = Size(
            least=least if step and step.pool.max else max(least, len(places)),
            first=max(least, len(places)),
            most=len(most[label]),
            cpus=each[label][0],
            gpus=each[label][1],
            memory=int(each[label][2]),
            nodes=tuple(nodes[place] for place in places if nodes[place]),
        )
    return pools


def smallest(plan: Plan, pools: Mapping[str, Size]) -> list[Need]:
    """What every actor needs that must be there before any unit can be done."""
    each = {label: (size.cpus, size.gpus, size.memory) for label, size in pools.items()}
    return [actor for _, actor in _smallest(plan, each)]


Labelled = list[tuple[str, Need]]
"""Actors: the pool that each belongs to, and what it needs."""


def _placed(
    plan: Plan, machines: Sequence[Machine], each: Mapping[str, Need], speed: Mapping[str, float]
) -> dict[str, list[int]] | None:
    """Where the actors of each pool go; None if the smallest pools do not fit."""
    room = Room(machines)
    placed: dict[str, list[int]] = {label: [] for label in each}

    def put(actors: Labelled) -> bool:
        places = room.put_all([actor for _, actor in actors])
        for (label, _), place in zip(actors, places or (), strict=False):
            placed[label].append(place)
        return places is not None

    if not put(_smallest(plan, each)):
        return None
    growing = {s.label: s for s in plan.steps}
    known = all(label in speed for label in growing)
    while growing:
        label = max(growing, key=lambda x: (speed[x] if known else 1.0) / len(placed[x]))
        step, total = growing[label], sum(len(placed[s.label]) for s in plan.steps)
        more = [(label, each[label]), *_side(total, total + 1)]
        if len(placed[label]) >= (step.pool.max or MOST_ACTORS) or not put(more):
            del growing[label]
    return placed


def _smallest(plan: Plan, each: Mapping[str, Need]) -> Labelled:
    """The smallest pools' actors."""
    actors = [(s.label, each[s.label]) for s in plan.steps for _ in range(s.pool.min)]
    return [*actors, *_side(0, len(actors))]


def _each(plan: Plan, machines: Sequence[Machine], memory: Mapping[str, int]) -> dict[str, Need]:
    """What each pool's actors need: CPUs as named, or one, or less where that is too much."""
    default = ACTOR_CPUS
    held = {label: most + ACTOR_BYTES for label, most in memory.items()}
    while True:
        each: dict[str, Need] = {
            s.label: (s.resources.cpus or default, s.resources.gpus, held.get(s.label, 0))
            for s in plan.steps
        }
        each |= {READ: (READ_CPUS, 0.0, 0), COMMIT: (COMMIT_CPUS, 0.0, 0)}
        fits = Room(machines).put_all([actor for _, actor in _smallest(plan, each)]) is not None
        if fits or default <= LEAST_CPUS:
            return each
        # Steps of a twentieth find nearly the largest share at which all of them fit.
        default = max(LEAST_CPUS, round(default * 0.95, 3))


def side_cpus(actors: int) -> float:
    """CPUs that reading and committing for so many stage actors takes."""
    return sum(need[0] for _, need in _side(0, actors))


def _side(before: int, actors: int) -> Labelled:
    """The readers and committers more that `actors` stage actors need than `before`."""
    return [
        *[(READ, (READ_CPUS, 0.0))] * (readers(actors) - readers(before)),
        *[(COMMIT, (COMMIT_CPUS, 0.0))] * (committers(actors) - committers(before)),
    ]


def readers(actors: int) -> int:
    """How many readers serve so many stage actors."""
    return ceil(actors / ACTORS_PER_READER)


def committers(actors: int) -> int:
    """How many committers serve so many stage actors."""
    return ceil(actors / ACTORS_PER_COMMITTER)


def _too_much(plan: Plan, machines: Sequence[Machine], each: Mapping[str, Need]) -> str:
    """Why the smallest pools do not fit: the sum, one actor's size, or the machines' sizes."""
    asked = {s.label: _as_machine(each[s.label]) for s in plan.steps}
    for what, need in _needs(plan, each).items():
        have = sum(getattr(machine, what) for machine in machines)
        if need > have:
            return _say_sum(plan, what, need, have, each)
    for label, actor in asked.items():
        if Room(machines).put(*each[label]) is None:
            return (
                f"an actor of {label} needs {actor}, and no machine has so much.\n"
                f"  the largest here: {_largest(machines)}\n"
                "  lower  resources: {...}  of the stage, or run it on larger machines"
            )
    actors = ", ".join(f"{s.label} {asked[s.label]} x {s.pool.min}" for s in plan.steps)
    return (
        f"this plan does not fit on these {len(machines)} machines, though their sum is enough.\n"
        f"  asked for: {actors}\n  the largest here: {_largest(machines)}\n"
        "  lower  resources: {...}  or  pool: {min: ...}, or run it on larger machines"
    )


def _as_machine(need: Need) -> Machine:
    return Machine(need[0], need[1], memory=need[2])


def _needs(plan: Plan, each: Mapping[str, Need]) -> dict[str, float]:
    """CPUs, GPUs and bytes that the smallest pools need in all."""
    side = side_cpus(sum(s.pool.min for s in plan.steps))
    return {
        "cpus": side + sum((s.resources.cpus or LEAST_CPUS) * s.pool.min for s in plan.steps),
        "gpus": sum(
            ceil(s.pool.min / int(1 / s.resources.gpus))
            if 0.5 < s.resources.gpus < 1
            else s.resources.gpus * s.pool.min
            for s in plan.steps
        ),
        "memory": sum(each[s.label][2] * s.pool.min for s in plan.steps),
    }


def _say_sum(plan: Plan, what: str, need: float, have: float, each: Mapping[str, Need]) -> str:
    if what == "memory":
        return _say_memory(plan, need, have, each)
    wants = ", ".join(
        f"{s.label} {getattr(s.resources, what):g} x {s.pool.min}"
        for s in plan.steps
        if getattr(s.resources, what)
    )
    side = side_cpus(sum(s.pool.min for s in plan.steps))
    return (
        f"this plan needs {need:g} {what}, and there are {have:g}.\n"
        f"  asked for: {wants or 'nothing by name'}"
        + (f"; reading and writing {side:g}" if what == "cpus" else "")
        + f"\n  lower  resources: {{{what}: ...}}  or  pool: {{min: ...}},"
        " or run it on a larger machine or cluster"
    )


def _say_memory(plan: Plan, need: float, have: float, each: Mapping[str, Need]) -> str:
    wants = ", ".join(
        f"{s.label} {each[s.label][2] / 2**30:.1f} x {s.pool.min}"
        for s in plan.steps
        if each[s.label][2]
    )
    return (
        f"this plan needs {need / 2**30:.1f} GiB of memory, and there are {have / 2**30:.1f}.\n"
        f"  as calibrated, with room to spare: {wants}\n"
        "  end other programs, lower  batch: {rows: ...}  or  pool: {min: ...}  and calibrate "
        "again,\n  say yourself what a stage may hold:  resources: {memory: BYTES},\n"
        "  or run it on a larger machine or cluster"
    )


def _largest(machines: Sequence[Machine]) -> str:
    shapes = sorted(set(machines), key=lambda m: (m.gpus, m.cpus, m.memory), reverse=True)
    return "; ".join(str(shape) for shape in shapes[:3]) or "none"
