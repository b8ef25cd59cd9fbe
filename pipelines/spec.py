"""The pipeline file as typed objects: the same in YAML and in Python."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from actors import catalog
from pipelines.gates import Gates
from pipelines.notify import Notify
from pipelines.sinks import AnySink
from pipelines.sources import AnySource

Precision = Literal["auto", "fp32", "bf16"]

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""What a pipeline may be called: it becomes a part of file names."""


class Spec(BaseModel):
    """Base of everything in a pipeline file: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Pool(Spec):
    """How many actors a stage gets. Left out: as many as the machine or cluster has room for."""

    min: int = Field(1, ge=1, description="actors at least")
    max: int | None = Field(None, ge=1, description="actors at most")

    @model_validator(mode="after")
    def _check_order(self) -> "Pool":
        if self.max is not None and self.min > self.max:
            raise ValueError(f"has min {self.min}, more than max {self.max}")
        return self


class Resources(Spec):
    """What one actor of a stage needs."""

    cpus: float | None = Field(None, gt=0, description="CPUs, also the number of threads")
    gpus: float = Field(0.0, ge=0, description="GPUs; a fraction shares one")
    memory: int | None = Field(None, gt=0, description="bytes that its process may hold")


class Batch(Spec):
    """Upper bounds on a micro-batch; otherwise chosen by the task."""

    rows: int | None = Field(None, ge=1, description="most rows (or parts of rows) at once")
    tokens: int | None = Field(None, ge=1, description="most padded tokens (pixels, ...) at once")


class StageSpec(Spec):
    """One stage of a pipeline file."""

    task: Annotated[str, AfterValidator(catalog.canonical)] = Field(
        description="a task of the catalogue, or module:Class"
    )
    model: str | None = Field(None, description="embedded:NAME, org/name or ./folder")
    revision: str | None = Field(None, description="commit of a hub model")
    input: dict[str, str] = Field({}, description="the task's input name -> a column")
    output: dict[str, str] = Field({}, description="the task's output name -> a column")
    options: dict[str, Any] = Field({}, description="the task's options")
    pool: Pool = Pool()
    resources: Resources = Resources()
    batch: Batch = Batch()
    precision: Precision = "auto"


class Errors(Spec):
    """What a bad row may cost, and a folder that is not there."""

    max_rejected: Annotated[float, Field(ge=0, le=1)] = Field(
        0.05, description="share of rejected rows above which the exit code is 3"
    )
    max_dropped: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="share of the answered files that on_delete: drop may take back at once"
    )
    row_timeout: float = Field(120.0, gt=0, description="seconds that one row may take")


class Pipeline(Spec):
    """A source, an ordered list of stages, and a sink."""

    name: str = Field(pattern=NAME, max_length=100)
    source: AnySource
    stages: tuple[StageSpec, ...] = Field(min_length=1)
    models: Literal["hub", "embedded"] = "hub"
    keep: tuple[str, ...] | None = Field(None, description="columns to write")
    on_change: Literal["error", "ignore", "reprocess"] = Field(
        "error", description="what to do with a source file that changed since it was answered"
    )
    on_delete: Literal["keep", "drop", "error"] = Field(
        "keep", description="what to do with the rows of a source file that is not there any more"
    )
    errors: Errors = Errors()
    gates: Gates | None = Field(None, description="checks on new rows before anybody sees them")
    notify: Notify | None = Field(None, description="a webhook that is told how a run ended")
    lineage: str | None = Field(None, min_length=1, description="file for OpenLineage events")
    sink: AnySink
