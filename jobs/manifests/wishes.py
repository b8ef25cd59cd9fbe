"""What a manifest is asked for."""

from dataclasses import dataclass
from typing import Literal

Overlap = Literal["skip", "buffer", "allow"]
CatchUp = Literal["latest", "all", "none"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for: the schedule and its policies, and the machines.

    Times are seconds; `cron` is None for a job that runs once; `memory` as Kubernetes writes it.
    """

    cron: str | None = None
    tz: str = "UTC"
    overlap: Overlap = "skip"
    catch_up: CatchUp = "latest"
    time_limit: float | None = None
    retries: int | None = None
    jitter: float = 0.0
    image: str = ""
    namespace: str = "default"
    claim: str | None = None
    secret: str | None = None
    cpus: int = 4
    memory: str = "16Gi"
    gpus: int = 0
    workers: int = 4
