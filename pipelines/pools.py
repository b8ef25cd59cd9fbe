"""How many actors each step gets on the machines that there are."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from actors.errors import UsageError
from pipelines.plan import Plan, Step

READ_CPUS = 0.1
"""CPUs of a reader: it mostly waits for a disk or a network."""

COMMIT_CPUS = 0.05
"""CPUs of a committer: it compresses some megabytes and waits for a disk."""

ACTORS_PER_READER, ACTORS_PER_COMMITTER = 4, 8
"""Stage actors that one reader, one committer serves: a unit is seconds of a model's work, and a
fraction of a second to read and to write. Both are actors, because Ray ends idle task processes
after a second, and each costs 1.3 CPU-s to start."""

MOST_ACTORS = 1000
"""Actors of one step: beyond this Ray's own scheduling is what a run waits for."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many actors a step gets, and the CPUs and GPUs of each."""

    least: int
    most: int
    cpus: float
    gpus: float


def sizes(plan: Plan, cpus: float, gpus: float, speed: Mapping[str, float]) -> dict[str, Size]:
    """Share the machine out to the steps' pools.

    Every step gets its smallest pool; then one actor after the other goes to the step that takes
    longest by `speed` (seconds a row, equal where unknown), while there is room. On a machine too
    small for a CPU each, actors share CPUs. Raises UsageError when it cannot be scheduled.
    """
    _check_fits(plan, cpus, gpus)
    default = _default_cpus(plan, cpus)
    each = {s.label: s.resources.cpus or default for s in plan.steps}
    count = {s.label: s.pool.min for s in plan.steps}
    known = all(s.label in speed for s in plan.steps)
    while True:
        used = sum(n * each[label] for label, n in count.items())
        used_gpus = sum(count[s.label] * s.resources.gpus for s in plan.steps)
        fitting = [
            s.label
            for s in plan.steps
            if count[s.label] < min(s.pool.max or MOST_ACTORS, _most_on_gpus(s, gpus))
            and used + each[s.label] + side_cpus(sum(count.values()) + 1) <= cpus
            and used_gpus + s.resources.gpus <= gpus
        ]
        if not fitting:
            break
        slowest = max(fitting, key=lambda x: (speed[x] if known else 1.0) / count[x])
        count[slowest] += 1
    return {
        s.label: Size(
            least=s.pool.min if s.pool.max else count[s.label],
            most=count[s.label],
            cpus=each[s.label],
            gpus=s.resources.gpus,
        )
        for s in plan.steps
    }


def _most_on_gpus(step: Step, gpus: float) -> int:
    """How many actors fit on whole GPUs: two that need 0.6 do not share one."""
    each = step.resources.gpus
    if not each:
        return MOST_ACTORS
    return int(gpus) * int(1 / each) if each <= 1 else int(gpus / each)


def side_cpus(actors: int) -> float:
    """CPUs that reading and committing for so many stage actors takes."""
    return readers(actors) * READ_CPUS + committers(actors) * COMMIT_CPUS


def readers(actors: int) -> int:
    """How many readers serve so many stage actors."""
    return ceil(actors / ACTORS_PER_READER)


def committers(actors: int) -> int:
    """How many committers serve so many stage actors."""
    return ceil(actors / ACTORS_PER_COMMITTER)


def _default_cpus(plan: Plan, cpus: float) -> float:
    """CPUs of an actor whose step names none: one, or a share where there are fewer."""
    free = cpus - side_cpus(sum(s.pool.min for s in plan.steps))
    named = sum(s.pool.min * s.resources.cpus for s in plan.steps if s.resources.cpus)
    unnamed = sum(s.pool.min for s in plan.steps if not s.resources.cpus)
    # Ray counts CPUs in units of 0.0001; rounding down keeps the sum within what there is.
    return max(0.01, min(1.0, int((free - named) / max(unnamed, 1) * 1000) / 1000))


def _check_fits(plan: Plan, cpus: float, gpus: float) -> None:
    """Refuse a plan whose smallest pools do not fit, instead of waiting for ever."""
    side = side_cpus(sum(s.pool.min for s in plan.steps))
    need_cpus = side + sum((s.resources.cpus or 0.01) * s.pool.min for s in plan.steps)
    need_gpus = sum(
        ceil(s.pool.min / int(1 / s.resources.gpus))
        if 0.5 < s.resources.gpus < 1
        else s.resources.gpus * s.pool.min
        for s in plan.steps
    )
    for what, need, have in (("cpus", need_cpus, cpus), ("gpus", need_gpus, gpus)):
        if need > have:
            wants = ", ".join(
                f"{s.label} {getattr(s.resources, what):g} x {s.pool.min}"
                for s in plan.steps
                if getattr(s.resources, what)
            )
            raise UsageError(
                f"this plan needs {need:g} {what}, and there are {have:g}.\n"
                f"  asked for: {wants}"
                + (f"; reading and writing {side:g}" if what == "cpus" else "")
                + f"\n  lower  resources: {{{what}: ...}}  or  pool: {{min: ...}},"
                " or run it on a larger machine or cluster"
            )
