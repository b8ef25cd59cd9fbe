"""What a pipeline's stages cost, measured on some rows, and kept in the output."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from pipelines.host import Host, this_host
from pipelines.plan import Plan, Step
from pipelines.record import records
from pipelines.store import OURS, Store

CALIBRATIONS = f"{OURS}/calibrations"

HEADROOM = 1.2
"""How much more memory an actor is given than its model's process held at most: the rows measured
are some, and the longest of all is seldom among them. OCR of 60 pages took 5 % more than of the 20
that were measured, and 18 % more than of 8."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one step takes.

    seconds        of an actor's time for each row of the source that was measured.
    lots           the same of each lot alone: how much it spreads.
    cpu            CPU-seconds of the model's process, a row.
    load           seconds until the model is loaded.
    memory         most bytes that the model's process held.
    device_memory  most bytes that torch held on a GPU.
    bytes          that the step adds to a row, in memory.
    rows           that came to the step, and `rejected` of them.
    device         cpu or cuda, with `threads` CPU threads: what the figures hold for.
    """

    seconds: float
    lots: tuple[float, ...]
    cpu: float
    load: float
    memory: int
    device_memory: int
    bytes: float
    rows: int
    rejected: int
    device: str
    threads: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured: `rows` of the source, of which `unread` could not be read, at `when`
    (seconds, epoch), on `host`; the cost of each step by label.

    `load` is how many processes wanted each CPU when measuring began; none of them is ours.
    """

    fingerprint: str
    when: float
    rows: int
    unread: int
    seed: int
    host: Host
    versions: dict[str, str]
    load: float = 0.0
    steps: dict[str, Cost] = field(default_factory=dict)

    @property
    def speed(self) -> dict[str, float]:
        """Seconds a row of each step."""
        return {label: cost.seconds for label, cost in self.steps.items()}

    def memory(self, plan: Plan) -> dict[str, int]:
        """Bytes to set aside for the model's process of each step: what the pipeline file says,
        or the peak with HEADROOM."""
        return {
            step.label: step.resources.memory or int(self.steps[step.label].memory * HEADROOM)
            for step in plan.steps
            if step.label in self.steps
        }


def write(store: Store, calibration: Calibration) -> None:
    """Keep it in the output, in place of an earlier one of the same pipeline. Raises SinkFailed."""
    store.prepare()
    store.system.create_dir(store.full(CALIBRATIONS))
    text = json.dumps(asdict(calibration), indent=1, ensure_ascii=False)
    store.put(f"{CALIBRATIONS}/{calibration.fingerprint}.json", text.encode())


def read(store: Store, plan: Plan) -> Calibration | None:
    """The calibration of exactly these stages on these devices, if there is one."""
    content = store.read(f"{CALIBRATIONS}/{plan.fingerprint}.json")
    found = _loads(content) if content else None
    if found is None or any(not _holds(found.steps, step) for step in plan.steps):
        return None
    return found


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a plan's steps, by label, before a run.

    speed   seconds a row: pools are shared out by its ratios.
    exact   the same, where it was measured on such a machine as this one: units are cut by it.
            Elsewhere the first units are small, and the run measures for itself.
    memory  bytes to set aside for the model's process.
    """

    speed: Mapping[str, float] = field(default_factory=dict)
    exact: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, int] = field(default_factory=dict)


def known(store: Store, plan: Plan) -> Known:
    """What the last run of the same fingerprint, or the calibration, measured: the newer one.

    A run has seen more rows, but who calibrates after it has a reason, such as another machine.
    Memory is set aside by calibrations alone: a run that nobody calibrated takes what it finds.
    """
    calibration = read(store, plan)
    runs = [r for r in records(store) if r.fingerprint == plan.fingerprint and r.speed]
    run = runs[-1] if runs else None
    memory = calibration.memory(plan) if calibration else {}
    if run and (calibration is None or run.started > calibration.when):
        return Known(run.speed, run.speed, memory)
    if calibration is None:
        return Known()
    here = calibration.host.is_like(this_host(with_gpus=False))
    return Known(calibration.speed, calibration.speed if here else {}, memory)


def latest(store: Store) -> Calibration | None:
    """The last calibration of an output, whatever the pipeline."""
    contents = (store.read(f"{CALIBRATIONS}/{name}") for name in store.names(CALIBRATIONS))
    found = [_loads(content) for content in contents if content]
    return max(found, key=lambda calibration: calibration.when, default=None)


def _loads(content: bytes) -> Calibration:
    data = json.loads(content)
    steps = {
        label: Cost(**{**cost, "lots": tuple(cost["lots"])})
        for label, cost in data["steps"].items()
    }
    return Calibration(**{**data, "host": Host(**data["host"]), "steps": steps})


def _holds(costs: Mapping[str, Cost], step: Step) -> bool:
    """Whether the step was measured on such a device: neither it nor threads change answers, so
    the fingerprint does not know them."""
    cost = costs.get(step.label)
    return cost is not None and (cost.device, cost.threads) == (
        step.device.name,
        step.device.threads,
    )
