"""The contract between a task and the house.

A task is one `Stage`: a frozen object whose fields are its options. `load` returns a `Model`, which
does the work on a list of rows in three steps: prepare (threads, ahead of the device), infer (the
device, one micro-batch), finish (one row). The worker does everything around them.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

Row = dict[str, Any]
"""One row: column name -> value."""

Columns = Mapping[str, pa.DataType]
"""Column name -> Arrow type."""


@dataclass(frozen=True, slots=True)
class Item:
    """One part of a row on its way to the device; a row has one or more (windows, crops, pairs).

    `cost` is in the unit of the batching budget (tokens, pixels, frames); `shape` keeps unequal
    items apart under the rule "shape".
    """

    data: Any
    cost: int = 1
    shape: Hashable = None


@dataclass(frozen=True, slots=True)
class Batching:
    """How items may share a micro-batch.

    rule    fixed: every item has the same shape by construction;
            length: padding is exact, so items are sorted by cost and padded to the longest;
            shape: padding would change answers, so only items of equal `shape` meet.
    rows    most items in one micro-batch.
    budget  most padded cost, items x largest cost, in one micro-batch.
    window  items after which those that are prepared go to the device, while the next ones are
            being prepared; None: as many as memory allows, to sort them by cost. For items that
            take long to prepare and need no sorting, such as pictures.
    """

    rule: Literal["fixed", "length", "shape"] = "length"
    rows: int = 64
    budget: int = 16_384
    window: int | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """Where a stage works: `name` as torch spells it, precision, and CPU threads it may use."""

    name: str = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    threads: int = 1


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on this machine's disk: the main folder and the folders of any other models the
    stage's options name (option name -> folder)."""

    folder: Path
    others: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def none(cls) -> "ModelFiles":
        """For a stage that works without weights."""
        return cls(Path())


class Pass:
    """One way through the device. Most models need one; a detector and a reader need two."""

    batching: Batching = Batching()

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """Return the items of each row, in order; an empty list sends nothing to the device.

        Runs in threads. Raise RowRejected for a row that cannot be answered: called again with
        that row alone when it came among others.
        """
        raise NotImplementedError

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Return one output per item, in order. The items obey `batching`."""
        raise NotImplementedError

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Join a row's outputs: the columns that the stage writes; or, in a pass before the last,
        the row that the next pass prepares."""
        raise NotImplementedError


class Model(Pass):
    """A loaded model: the only pass itself, unless `passes` names several."""

    @property
    def passes(self) -> Sequence[Pass]:
        """The passes in order."""
        return (self,)


NO_MODEL = "none"
"""Named as a model: no weights. For tasks that can do without, whose embedded default it is."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """The models that a task takes when the pipeline file names none, one per profile, and the
    licence that the hub model's card states. Without a default the file must name a model;
    `made_by` is the command that makes one, if there is such a command. A task whose `embedded`
    is NO_MODEL also works without weights: `load` gets ModelFiles.none()."""

    hub: str | None = None
    licence: str | None = None
    embedded: str | None = None
    made_by: str | None = None


def option(default: Any, help: str, **limits: Any) -> Any:
    """An option of a stage: default, help sentence, limits (ge, le, min_length...)."""
    return Field(default, description=help, **limits)


def model_option(hub: str | None, embedded: str | None, help: str, reads: str | None = None) -> Any:
    """An option that names a further model; the house resolves, pins and fetches it like `model`.

    None means the profile's default. `load` finds its folder in `files.others[option name]`; where
    a pipeline has no column for the input `reads`, the model is not needed and not there.
    """
    places: dict[str, Any] = {"hub": hub, "embedded": embedded, "reads": reads}
    return Field(None, description=help, json_schema_extra=places)


def folder_option(help: str) -> Any:
    """An option that names a local folder of files; it is pinned by its content like a model.

    None, the default, means none. `load` finds it in `files.others[option name]`.
    """
    return Field(
        None, description=help, json_schema_extra={"hub": None, "embedded": None, "holds": "files"}
    )


class Stage(BaseModel):
    """Base of every task. Fields are options; class attributes are facts about the task.

    aliases         other names of the task.
    reads           the columns it reads, under its own names; `optional_reads` may be missing.
    models          its default models; None for a task that works without weights.
    weights         whether it opens the model's weights; false where its tokenizer is enough.
    version         raised when the same model and options begin to answer differently.
    rounds          numbers of any type are read as the nearest float of the type that is read, and
                    a column of nulls as any type; otherwise only types that lose nothing are.
    chunk           rows that one call of prepare gets: many to tokenize, few to decode.
    example         options that the catalogue's example shows, those without a default among them.
    searched        input -> the column it writes for it that `gristmill search` may look in: a
                    vector of an input can be compared with those of every other one.
    sample          a row for the example, where the columns' names do not say what to put in them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    aliases: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[Columns]
    optional_reads: ClassVar[frozenset[str]] = frozenset()
    models: ClassVar[Defaults | None] = None
    weights: ClassVar[bool] = True
    version: ClassVar[int] = 1
    rounds: ClassVar[bool] = False
    chunk: ClassVar[int] = 256
    example: ClassVar[Mapping[str, Any]] = {}
    searched: ClassVar[Mapping[str, str]] = {}
    sample: ClassVar[Row] = {}

    @property
    def writes(self) -> Columns:
        """The columns that the stage adds, given its options."""
        raise NotImplementedError

    @property
    def needs_model(self) -> bool:
        """Whether it takes a model at all, given its options: not where a program does the work."""
        return self.models is not None

    def inputs(self, config: Mapping[str, Any] | None) -> Columns:
        """The columns that the stage reads with a model of this config.json, if it has one.

        Override where the model decides, such as one that was trained on a table's columns.
        """
        return self.reads

    def wired(self, inputs: Collection[str], config: Mapping[str, Any] | None) -> str | None:
        """Say what is wrong when a pipeline has columns for just these of the stage's inputs, or
        None: for a stage of which each input may be missing, but not all of them.

        `config` is the model's config.json, if it has one.
        """
        return None

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Say why a transformers config.json (as a mapping) cannot do this task, or None."""
        return None

    def model_options(
        self, config: Mapping[str, Any] | None
    ) -> list[tuple[str, Mapping[str, Any]]]:
        """The options that name further models or folders, each with its defaults per profile,
        and the `revision` that it must have, if it must.

        `config` is the main model's config.json: override this where it decides what is needed.
        """
        fields = type(self).model_fields
        return [
            (name, f.json_schema_extra)
            for name, f in fields.items()
            if isinstance(f.json_schema_extra, dict) and "hub" in f.json_schema_extra
            if "holds" not in f.json_schema_extra or getattr(self, name) is not None
        ]

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model. The only place that imports torch."""
        raise NotImplementedError
