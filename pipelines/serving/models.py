"""The pipeline's columns as pydantic models: what the OpenAPI page shows of this very pipeline."""

import re
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, create_model

from pipelines.parts import KEYS
from pipelines.plan import Plan
from pipelines.serving.answers import WHY
from pipelines.serving.intake import Intake

REF = "#/components/schemas/{model}"
"""Where OpenAPI looks for a model."""

WORDS = "The quick brown fox jumps over the lazy dog."
"""A text of the example row, where the task has no sample of its own."""

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2AQJ0wAAAABJRU5ErkJggg=="
)
"""A picture of one pixel, for the example row: PNG as base64."""


class Media(BaseModel):
    """Bytes of an answer."""

    media_type: str = Field(examples=["image/png"])
    base64: str


class Why(BaseModel):
    """Why a row is not answered."""

    stage: str = Field(description="the task that rejected the row, or `source`")
    reason: str = Field(description="a stable code", examples=["wrong_type"])
    message: str = Field(description="for people")


class Problem(BaseModel):
    """Why a request is refused."""

    error: str


def request_model(plan: Plan, intake: Intake) -> type[BaseModel]:
    """The body of POST /rows."""
    fields: dict[str, Any] = {}
    for field in intake.columns:
        kind = _kind(field.type, f"Row_{field.name}", False)
        default = ... if field.name in intake.required else None
        fields[field.name] = (kind | None, _field(field.name, _read(plan, field), default))
    row = _model("Row", fields, {"example": example(plan, intake)})
    return create_model("Rows", rows=(list[row], Field(min_length=1)))  # type: ignore[valid-type]


def answer_model(plan: Plan) -> type[BaseModel]:
    """The body of an answer: the written columns of each row, and `reject`."""
    makers = {column: step.label for step in plan.steps for column in step.outputs.values()}
    fields: dict[str, Any] = {
        field.name: (
            _kind(field.type, f"Answer_{field.name}", True) | None,
            _field(field.name, f"{field.type}, made by {makers.get(field.name, 'the source')}"),
        )
        for field in plan.columns
        if field.name not in dict(KEYS)
    }
    row = _model("Answer", fields | {WHY: (Why | None, _field(WHY, "null for good rows"))})
    return create_model("Answers", rows=(list[row], Field(description="in the request's order")))  # type: ignore[valid-type]


def example(plan: Plan, intake: Intake) -> dict[str, Any]:
    """A row to try: what the tasks show as their samples, and else a value of the type."""
    samples = {
        column: step.stage.sample[name]
        for step in plan.steps
        for name, column in step.inputs.items()
        if name in step.stage.sample
    }
    return {
        field.name: samples.get(field.name, _value(field))
        for field in intake.columns
        if field.name in intake.required
    }


def _model(name: str, fields: dict[str, Any], config: Any = None) -> Any:
    """A model of columns, whose names may be none that Python takes: they are the aliases."""
    numbered: dict[str, Any] = {
        f"column_{place}": field for place, field in enumerate(fields.values())
    }
    return create_model(
        name, __config__=ConfigDict(extra="forbid", json_schema_extra=config), **numbered
    )


def _field(name: str, description: str | None = None, default: Any = ...) -> Any:
    return Field(default, alias=name, title=name, description=description)


def _read(plan: Plan, field: pa.Field) -> str:
    """Who reads a column, and as what."""
    readers = [step.label for step in plan.steps if field.name in step.inputs.values()]
    coded = " (a file, as base64)" if pa.types.is_binary(field.type) else ""
    return f"{field.type}{coded}, read by {', '.join(readers) or 'nobody: it is kept'}"


def _kind(found: pa.DataType, name: str, answered: bool) -> Any:
    """The Python type of an Arrow type; `name` is that of the model, where it needs one."""
    kinds: tuple[tuple[Any, Any], ...] = (
        (pa.types.is_boolean, bool),
        (pa.types.is_integer, int),
        (pa.types.is_floating, float),
        (pa.types.is_binary, Media if answered else str),
        (pa.types.is_large_binary, Media if answered else str),
        (pa.types.is_map, list[Any]),
    )
    simple = next((kind for is_it, kind in kinds if is_it(found)), None)
    if simple is not None:
        return simple
    if pa.types.is_struct(found):
        inner = {
            f.name: (_kind(f.type, f"{name}_{f.name}", answered) | None, _field(f.name))
            for f in found
        }
        return _model(re.sub(r"\W", "_", name), inner)
    if pa.types.is_nested(found) and found.num_fields == 1:
        return list[_kind(found.field(0).type, name, answered) | None]  # type: ignore[misc]
    return str


def _value(field: pa.Field) -> Any:
    """A value of a type, for the example row."""
    if pa.types.is_binary(field.type):
        return PIXEL if "image" in field.name else "UklGRg=="
    if pa.types.is_nested(field.type):
        return []
    if pa.types.is_boolean(field.type):
        return True
    numbers = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    return 1 if numbers else WORDS
