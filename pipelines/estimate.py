"""How long a run will take, and what it costs: arithmetic on a calibration and the pools."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipelines.calibration import Cost
from pipelines.dispatch import UNIT_ROWS, UNIT_SECONDS

CPUS = "CPUs"
"""The bottleneck where the pools could do more than the machines' cores."""


@dataclass(frozen=True, slots=True)
class PoolCost:
    """A step, the number of its actors, and the CPUs and GPUs that each of them holds."""

    label: str
    cost: Cost
    actors: int
    cpus: float
    gpus: float

    @property
    def rate(self) -> float:
        """Rows a second that the pool can answer."""
        return self.actors / self.cost.seconds if self.cost.seconds else float("inf")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A run on given machines.

    seconds     it takes, with loading, without starting Ray; `low` and `high` as the fastest and
                the slowest of the lots say, the same one at each step.
    rate        rows a second when all pools are at work.
    bottleneck  the label of the step that sets the rate, or CPUS.
    held        (CPU, GPU) hours a million rows that the pools hold, idle or not.
    busy        the same, of the time that actors are at work.
    more        the rate, and the seconds, with one more actor of the bottleneck.
    """

    rows: int
    seconds: float
    low: float
    high: float
    rate: float
    bottleneck: str
    held: tuple[float, float]
    busy: tuple[float, float]
    more: tuple[float, float] | None


def estimate(pools: Sequence[PoolCost], cpus: float, rows: int) -> Estimate:
    """What it takes to answer `rows` rows with these pools on machines of `cpus` CPUs."""
    rate, bottleneck = _rate(pools, cpus)
    seconds = _seconds(pools, cpus, rows)
    tries = [_seconds(each, cpus, rows) for each in _as_lots(pools)]
    more = None
    if bottleneck != CPUS:
        larger = [replace(pool, actors=pool.actors + (pool.label == bottleneck)) for pool in pools]
        more = _rate(larger, cpus)[0], _seconds(larger, cpus, rows)
    return Estimate(
        rows=rows,
        seconds=seconds,
        low=min([seconds, *tries]),
        high=max([seconds, *tries]),
        rate=rate,
        bottleneck=bottleneck,
        held=_hours(pools, {pool.label: pool.actors / rate for pool in pools}),
        busy=_hours(pools, {pool.label: pool.cost.seconds for pool in pools}),
        more=more,
    )


def _rate(pools: Sequence[PoolCost], cpus: float) -> tuple[float, str]:
    """Rows a second, and what sets it: the slowest pool, or the cores, which pools may share."""
    slowest = min(pools, key=lambda pool: pool.rate)
    work = sum(pool.cost.cpu for pool in pools)
    if work and cpus / work < slowest.rate:
        return cpus / work, CPUS
    return slowest.rate, slowest.label


def _seconds(pools: Sequence[PoolCost], cpus: float, rows: int) -> float:
    """Seconds until the last row is through: loading, the slowest step's work, and one unit's way
    through the other steps, which wait for it at first and are waited for at last."""
    if not rows:
        return 0.0
    slowest = min(pools, key=lambda pool: pool.rate)
    others = sum(pool.cost.seconds for pool in pools) - slowest.cost.seconds
    pipelined = rows / slowest.rate + _unit_rows(slowest, rows) * others
    cores = rows * sum(pool.cost.cpu for pool in pools) / cpus
    return _load_seconds(pools, cpus) + max(pipelined, cores)


def _unit_rows(slowest: PoolCost, rows: int) -> float:
    """Rows of a unit towards the end of a run, as the dispatcher cuts them."""
    fitting = UNIT_SECONDS / slowest.cost.seconds if slowest.cost.seconds else UNIT_ROWS
    share = rows / (2 * slowest.actors) if slowest.actors > 1 else rows
    return max(1.0, min(fitting, share, UNIT_ROWS))


def _load_seconds(pools: Sequence[PoolCost], cpus: float) -> float:
    """All actors load at once; loading is work of a core, so too many share the cores."""
    together = sum(pool.actors * pool.cost.load for pool in pools) / cpus
    return max(together, *(pool.cost.load for pool in pools))


def _as_lots(pools: Sequence[PoolCost]) -> list[list[PoolCost]]:
    """The pools as each lot alone would have them."""
    count = min(len(pool.cost.lots) for pool in pools)
    return [
        [replace(pool, cost=replace(pool.cost, seconds=pool.cost.lots[n])) for pool in pools]
        for n in range(count)
    ]


def _hours(pools: Sequence[PoolCost], seconds: Mapping[str, float]) -> tuple[float, float]:
    """(CPU, GPU) hours a million rows, from seconds a row of each pool's actors together."""
    scale = 1e6 / 3600
    return (
        scale * sum(pool.cpus * seconds[pool.label] for pool in pools),
        scale * sum(pool.gpus * seconds[pool.label] for pool in pools),
    )
