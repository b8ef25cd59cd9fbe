"""The `gates:` block of a pipeline file: what new rows must be like before anybody sees them."""

from collections.abc import Mapping
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from actors.errors import UsageError, nearest

Share = Field(None, ge=0, le=1)

Action = Literal["fail", "warn"]


class Gate(BaseModel):
    """Base of every gate: frozen, strict, and of some use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Action = Field("fail", description="what a gate that does not hold does")

    @model_validator(mode="after")
    def _check_bounds(self) -> "Gate":
        if not self.model_fields_set - {"action"}:
            raise ValueError("checks nothing; say what it expects")
        low, high = getattr(self, "min", None), getattr(self, "max", None)
        if low is not None and high is not None and low > high:
            raise ValueError(f"has min {low:g}, more than max {high:g}")
        return self


class RowsGate(Gate):
    """How many good rows a run may have."""

    min: int | None = Field(None, ge=0, description="good rows at least")
    max: int | None = Field(None, ge=0, description="good rows at most")


class RejectedGate(Gate):
    """Which share of a run's rows may be rejected."""

    max: float | None = Field(None, ge=0, le=1, description="share of the rows at most")


class ColumnGate(Gate):
    """What the values of one column must be like; of a list, its elements."""

    min: float | None = Field(None, description="smallest value")
    max: float | None = Field(None, description="largest value")
    nulls: float | None = Field(None, ge=0, le=1, description="share of nulls at most")
    labels: tuple[str | int | bool, ...] | None = Field(
        None, min_length=1, description="the only values there may be"
    )
    drift: float | None = Field(
        None, ge=0, le=1, description="warn above this distance to the shares accepted last"
    )

    @property
    def bounds(self) -> bool:
        """Whether values have to lie within something."""
        return self.min is not None or self.max is not None


class Gates(BaseModel):
    """Checks on a run's new rows; those that fail keep the rows out of the data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: RowsGate | None = Field(None, description="good rows of the run")
    rejected: RejectedGate | None = Field(None, description="rejected rows of the run")
    columns: Mapping[str, ColumnGate] = Field({}, description="column -> what it must be like")

    @model_validator(mode="after")
    def _check_any(self) -> "Gates":
        if not (self.rows or self.rejected or self.columns):
            raise ValueError("has no gate; add rows, rejected or columns, or leave it out")
        return self


def check_gates(gates: Gates | None, file: str, columns: pa.Schema, flowing: list[str]) -> None:
    """Refuse gates on columns that are not written or not of a fitting type. Raises UsageError.

    `columns` is the schema of `data/`, `flowing` all columns of the pipeline.
    """
    for path, gate in (gates.columns if gates else {}).items():
        where = f"{file}, gates, columns, {path}"
        _check_type(where, gate, value_type(where, path, columns, flowing))


def split(path: str, columns: pa.Schema) -> tuple[str, tuple[str, ...]]:
    """ "entities.label" -> ("entities", ("label",)), unless a column has the whole name."""
    if path in columns.names:
        return path, ()
    name, *fields = path.split(".")
    return name, tuple(fields)


def value_type(where: str, path: str, columns: pa.Schema, flowing: list[str]) -> pa.DataType:
    """The type of the values that a path leads to. Raises UsageError."""
    name, fields = split(path, columns)
    if name not in columns.names:
        if name in flowing:
            raise UsageError(
                f"{where}: column '{name}' is not written, so its values cannot be looked at.\n"
                f"  add it to  keep: [{', '.join([*_own(columns), name])}]"
            )
        raise UsageError(
            f"{where}: there is no column '{name}'{nearest(name, _own(columns))}.\n"
            f"  columns: {', '.join(_own(columns))}"
        )
    kind = inner(columns.field(name).type)
    for field in fields:
        known = [f.name for f in kind] if pa.types.is_struct(kind) else []
        if field not in known:
            there = f"  fields there: {', '.join(known)}" if known else f"  it is {kind}"
            raise UsageError(
                f"{where}: there is no field '{field}'{nearest(field, known)}.\n{there}"
            )
        kind = inner(kind.field(field).type)
    return kind


def _own(columns: pa.Schema) -> list[str]:
    return [name for name in columns.names if not name.startswith("_")]


def inner(kind: pa.DataType) -> pa.DataType:
    """The type of a list's elements, however deep; of a dictionary, its values."""
    while is_list(kind) or pa.types.is_dictionary(kind):
        kind = kind.value_type
    return kind


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists."""
    checks = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_it(kind) for is_it in checks)


def _check_type(where: str, gate: ColumnGate, kind: pa.DataType) -> None:
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if gate.bounds and not number:
        raise UsageError(
            f"{where}: min and max are for numbers, and the column holds {kind}."
            f"{_fields_hint(kind)}"
        )
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    wanted = str if text else bool if pa.types.is_boolean(kind) else int
    word = "labels" if gate.labels is not None else "drift"
    if gate.labels is None and gate.drift is None:
        return
    if not (text or pa.types.is_boolean(kind) or pa.types.is_integer(kind)):
        raise UsageError(
            f"{where}: {word} is for text, whole numbers, true and false, and the column holds "
            f"{kind}.{_fields_hint(kind)}"
        )
    odd = [label for label in gate.labels or () if type(label) is not wanted]
    if odd:
        raise UsageError(f"{where}: the column holds {kind}, and labels has {odd[0]!r}.")


def _fields_hint(kind: pa.DataType) -> str:
    if not pa.types.is_struct(kind):
        return ""
    return f"\n  name one of its fields after a dot: {', '.join(f.name for f in kind)}"
