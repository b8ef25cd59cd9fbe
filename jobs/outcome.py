"""What a run can be asked beside its file, and what it came to."""

from dataclasses import asdict, dataclass, field
from typing import Literal

from pipelines.arrivals import Arrivals
from pipelines.dispatch import Status
from pipelines.verdict import Verdict

Decision = Literal["accept", "discard"]
"""What a person can decide about held rows."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `run` can be asked beside the pipeline file."""

    limit: int | None = None
    retry_rejects: bool = False
    address: str | None = None
    fresh: bool = False
    reuse: str | None = None
    held: Decision | None = None
    lineage: str | None = None
    lineage_parent: str | None = None


PLAIN = Options()
"""A run of the file as it stands."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. `status` is this run; `rows` and `rejected` the whole output now.

    `verdict` is what the gates said, if they had rows to look at. `ignored` counts files that
    changed since they were answered, under on_change: ignore.
    """

    run: str
    output: str
    seconds: float
    rows: int
    rejected: int
    status: Status | None
    max_rejected: float
    ignored: int = 0
    source: Arrivals = field(default_factory=Arrivals)
    verdict: Verdict | None = None

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return asdict(self) | {"exit_code": self.exit_code, "held": self.held}

    @property
    def held(self) -> int:
        """Rows that wait, because a gate did not hold."""
        verdict = self.verdict
        return verdict.rows + verdict.rejected if verdict and self.fails_gates else 0

    @property
    def fails_gates(self) -> bool:
        """Whether a gate did not hold; where it asks for rows, there may be none that wait."""
        return self.verdict is not None and self.verdict.state == "held"

    @property
    def exit_code(self) -> int:
        """1 if files were left out or a gate failed, 3 if too many rows are rejected, else 0."""
        if self.fails_gates or (self.status is not None and self.status.left_out):
            return 1
        total = self.rows + self.rejected
        return 3 if total and self.rejected / total > self.max_rejected else 0
