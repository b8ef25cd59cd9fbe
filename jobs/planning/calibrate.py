"""`gristmill plan --calibrate N`: measures the stages on some rows, reckons what a run takes."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from actors.errors import GristmillError, RunFailed, UsageError
from jobs.clusters.capacity import this_machine
from jobs.clusters.session import connected
from jobs.planning.plan import Look, count, rows_of
from jobs.prepare import Prepared
from jobs.recording import versions
from pipelines import calibration
from pipelines.calibration import Calibration
from pipelines.estimate import Estimate, PoolCost, estimate
from pipelines.flow import Job, Ticket, UnitRows
from pipelines.host import this_host
from pipelines.machines import Machines
from pipelines.measuring import Measured, measure, measure_step, rejected
from pipelines.plan import Plan
from pipelines.pools import Size, share
from pipelines.sample import Stretch, lots, spread

SEED = 0
"""The same rows each time, so that two calibrations differ by what was changed alone."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the stages are measured, and which machines the plan is made for.

    `address` is a Ray whose machines measure, and are planned for. Without one this machine
    measures, and the plan is made for `machines`, or for this machine.
    """

    address: str | None = None
    machines: Machines | None = None


def calibrated(
    prepared: Prepared, seen: Look, rows: int | None, place: Place, say: Say
) -> dict[str, Any]:
    """Measure `rows` rows, or take what was measured if that is None, and reckon with it.

    Keeps the calibration in the output. Raises UsageError for a plan that does not fit, too.
    """
    plan, why = prepared.plan, Counter[tuple[str, str]]()
    with _machines(plan, place) as machines:
        share(plan, machines, {})
        if rows is None:
            found = _kept(prepared)
        else:
            _check_devices(plan, place)
            found, why = _measure(prepared, seen, rows, place, machines, say)
            calibration.write(prepared.store, found)
        pools = share(plan, machines, found.speed, found.memory(plan))
    left = count([*seen.new, *seen.anew])
    costs = [_pool_cost(found, label, pools[label]) for label in found.steps]
    cpus = sum(machine.cpus for machine in machines.all)
    return _report(found, machines, costs, estimate(costs, cpus, left), why)


@contextlib.contextmanager
def _machines(plan: Plan, place: Place) -> Iterator[Machines]:
    """The machines to plan for; with an address, while connected to the Ray there."""
    if place.address is not None:
        with connected(place.address) as there:
            yield there
    else:
        yield place.machines or this_machine(any(s.resources.gpus for s in plan.steps))


def _kept(prepared: Prepared) -> Calibration:
    found = calibration.read(prepared.store, prepared.plan)
    if found is None:
        raise UsageError(
            f"nothing is calibrated yet: {prepared.store.shown} has no measures of these stages.\n"
            "  measure them:  --calibrate 200"
        )
    return found


def _check_devices(plan: Plan, place: Place) -> None:
    """Refuse to measure a stage for a GPU where there is none. Raises UsageError."""
    wanting = [step for step in plan.steps if step.device.name == "cuda"]
    if not wanting or place.address is not None:
        return
    import torch

    if not torch.cuda.is_available():
        raise UsageError(
            f"{wanting[0].label} asks for {wanting[0].resources.gpus:g} GPUs, and this machine has "
            "none, so it cannot be measured here.\n"
            "  measure where the GPU is:  --address auto  (on the cluster)  or  --address ADDR"
        )


def _measure(
    prepared: Prepared, seen: Look, rows: int, place: Place, machines: Machines, say: Say
) -> tuple[Calibration, Counter[tuple[str, str]]]:
    plan, start = prepared.plan, time.time()
    units = lots(plan.pipeline.source, spread(_stretches(prepared, seen), rows, SEED))
    if not units:
        raise UsageError("the source has no rows to measure.")
    job = Job(plan, prepared.store, "calibration")
    where = _on_ray(share(plan, machines, {})) if place.address is not None else measure_step
    done = measure(job, units, where, say)
    answered = done[-1].lots
    taken = sum(unit.rows for unit in units)
    # The host of the step that takes longest is what the figures depend on most.
    slowest = max(done, key=lambda measured: measured.cost.seconds)
    found = Calibration(
        fingerprint=plan.fingerprint,
        when=start,
        rows=taken,
        unread=taken - sum(lot.table.num_rows for lot in answered),
        seed=SEED,
        host=slowest.host,
        versions=versions(),
        load=done[0].load,
        steps={s.label: measured.cost for s, measured in zip(plan.steps, done, strict=True)},
    )
    return found, rejected(answered)


def _stretches(prepared: Prepared, seen: Look) -> list[Stretch]:
    """The rows that a run would answer, or all where there are none."""
    wanted = [stretch for stretch in (*seen.new, *seen.anew) if stretch[1] < stretch[2]]
    if wanted:
        return wanted
    rows, _ = rows_of(prepared, prepared.files)
    return [(file, 0, rows[file.name]) for file in prepared.files if rows.get(file.name)]


def _on_ray(pools: dict[str, Size]) -> Callable[..., Measured]:
    """Measure on a machine of the connected Ray that has what the step's actors ask for."""
    import ray

    def measured(job: Job, number: int, given: Sequence[UnitRows | Ticket]) -> Measured:
        size = pools[job.plan.steps[number].label]
        task = ray.remote(num_cpus=size.cpus, num_gpus=size.gpus, max_retries=0)(measure_step)
        try:
            found: Measured = ray.get(task.remote(job, number, given))
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, GristmillError):
                raise error.cause from None
            raise RunFailed(f"the calibration failed: {error.cause}") from error
        except ray.exceptions.RayError as error:
            raise RunFailed(f"Ray ended the calibration: {error}") from error
        return found

    return measured


def _pool_cost(found: Calibration, label: str, size: Size) -> PoolCost:
    return PoolCost(label, found.steps[label], max(size.most, size.first), size.cpus, size.gpus)


def _report(
    found: Calibration,
    machines: Machines,
    pools: Sequence[PoolCost],
    reckoned: Estimate,
    why: Counter[tuple[str, str]],
) -> dict[str, Any]:
    """All of it for --json: seconds, bytes, rows a second, hours a million rows."""
    work = sum(pool.cost.seconds for pool in pools) or 1.0
    return {
        "rows": found.rows,
        "when": found.when,
        "host": asdict(found.host),
        "here": found.host.is_like(this_host(with_gpus=False)),
        "load": found.load,
        "unread": found.unread,
        "rejected": [{"stage": s, "reason": r, "rows": n} for (s, r), n in why.most_common()],
        "machines": [
            {"machine": shape, "count": n} for shape, n in Counter(map(str, machines.all)).items()
        ],
        "stages": [_stage(pool, work, reckoned) for pool in pools],
        "rows to answer": reckoned.rows,
        "seconds": reckoned.seconds,
        "seconds at best": reckoned.low,
        "seconds at worst": reckoned.high,
        "rows a second": reckoned.rate,
        "bottleneck": reckoned.bottleneck,
        "hours a million rows": {
            "cpu": reckoned.held[0],
            "gpu": reckoned.held[1],
            "cpu at work": reckoned.busy[0],
            "gpu at work": reckoned.busy[1],
        },
        "one more": reckoned.more
        and {"rows a second": reckoned.more[0], "seconds": reckoned.more[1]},
    }


def _stage(pool: PoolCost, work: float, reckoned: Estimate) -> dict[str, Any]:
    cost = pool.cost
    return {
        "stage": pool.label,
        "rows a second": 1 / cost.seconds if cost.seconds else None,
        "seconds a row": cost.seconds,
        "seconds a row, by lot": list(cost.lots),
        "cpu seconds a row": cost.cpu,
        "load seconds": cost.load,
        "memory": cost.memory,
        "device memory": cost.device_memory,
        "bytes a row": cost.bytes,
        "rows": cost.rows,
        "rejected": cost.rejected,
        "actors": pool.actors,
        "cpus": pool.cpus,
        "gpus": pool.gpus,
        "share": cost.seconds / work,
        "at work": min(1.0, reckoned.rate / pool.rate),
    }
