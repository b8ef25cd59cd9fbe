"""From a pipeline file to a checked plan: everything that can be known without loading a model."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from actors import catalog
from actors.errors import UsageError, nearest
from actors.models.reference import ModelRef
from actors.stage import Columns, Device, Stage
from actors.worker import Limits
from pipelines.file import expected
from pipelines.gates import check_gates
from pipelines.models import config_at, resolve_model, resolve_others
from pipelines.parts import KEYS, REJECT
from pipelines.spec import Pipeline, Pool, Resources, StageSpec
from pipelines.types import fits

RESERVED = {name for name, _ in KEYS} | {REJECT}


@dataclass(frozen=True)
class Step:
    """One stage of a plan: what it is, what flows through it, where it runs."""

    number: int
    task: str
    stage: Stage
    reads: Columns
    model: ModelRef | None
    others: Mapping[str, ModelRef]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    carry: tuple[str, ...]
    fingerprint: str
    device: Device
    limits: Limits
    row_timeout: float
    pool: Pool
    resources: Resources

    @property
    def label(self) -> str:
        """How messages name it, counted from 1."""
        return f"stage {self.number} ({self.task})"

    @property
    def writes(self) -> dict[str, pa.DataType]:
        """Column -> type, under the pipeline's names."""
        return {self.outputs[name]: type for name, type in self.stage.writes.items()}


@dataclass(frozen=True)
class Plan:
    """A checked pipeline, ready to run.

    `read` are the source's columns that are needed; `columns` the schema of `data/`.
    """

    pipeline: Pipeline
    base: Path
    cache: Path
    steps: tuple[Step, ...]
    source_schema: pa.Schema
    read: pa.Schema
    columns: pa.Schema
    fingerprint: str
    description: dict[str, Any] = field(compare=False)

    @property
    def made(self) -> set[str]:
        """The columns that stages make."""
        return {column for step in self.steps for column in step.outputs.values()}


@dataclass
class _Columns:
    """The columns that flow: name -> (type, who made it)."""

    made: dict[str, tuple[pa.DataType, str]]

    def list(self) -> str:
        """ "path (source), text (ocr)"."""
        return ", ".join(f"{name} ({by})" for name, (_, by) in self.made.items())


def make_plan(pipeline: Pipeline, file: str, base: Path, cache: Path, schema: pa.Schema) -> Plan:
    """Check a pipeline against its source's schema and the catalogue. Raises UsageError.

    `file` is how messages name the pipeline file, `base` its folder, `cache` the models' folder.
    """
    flowing = _Columns({f.name: (f.type, "source") for f in schema})
    drafts: list[Step] = []
    above = ""
    for number, spec in enumerate(pipeline.stages, 1):
        step = _step(pipeline, spec, number, f"{file}, stage {number} ({spec.task})", base, cache)
        step = _wire(step, pipeline, spec, f"{file}, {step.label}", flowing, base, cache)
        above = _hash(above, describe(step))
        drafts.append(replace(step, fingerprint=above))
    keep = _keep(pipeline, file, flowing, drafts)
    steps = tuple(
        replace(step, carry=_needed_after(drafts[n + 1 :], keep)) for n, step in enumerate(drafts)
    )
    needed = _needed_after(drafts, keep)
    columns = pa.schema([*KEYS, *((name, flowing.made[name][0]) for name in keep)])
    check_gates(pipeline.gates, file, columns, list(flowing.made))
    description = {
        "source": pipeline.source.describe(),
        "steps": [describe(step) for step in steps],
        "columns": {f.name: str(f.type) for f in columns},
    }
    return Plan(
        pipeline=pipeline,
        base=base,
        cache=cache,
        steps=steps,
        source_schema=schema,
        read=pa.schema([f for f in schema if f.name in needed]),
        columns=columns,
        fingerprint=_hash(above, [description["source"], description["columns"]]),
        description=description,
    )


def check_options(pipeline: Pipeline, file: str, base: Path) -> None:
    """Check the stages' options, which needs neither source nor models. Raises UsageError."""
    for number, spec in enumerate(pipeline.stages, 1):
        _stage(spec, f"{file}, stage {number} ({spec.task})", base)


def describe(step: Step) -> dict[str, Any]:
    """Everything about a step that can change an answer; the fingerprint is made of it."""
    return {
        "task": step.task,
        "version": step.stage.version,
        "model": step.model.name if step.model else None,
        "revision": step.model.revision if step.model else None,
        "other models": {name: f"{r.name} {r.revision}" for name, r in step.others.items()},
        "options": json.loads(step.stage.model_dump_json()),
        "precision": step.device.precision,
        "input": dict(step.inputs),
        "output": dict(step.outputs),
    }


def _stage(spec: StageSpec, where: str, base: Path) -> Stage:
    """A stage's class with its options."""
    try:
        kind = catalog.stage_class(spec.task)
        return kind.model_validate(spec.options, context={"base": base})
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    except ValidationError as error:
        raise UsageError(
            "\n".join(_explain_option(where, spec, e) for e in error.errors())
        ) from None


def _step(
    pipeline: Pipeline, spec: StageSpec, number: int, where: str, base: Path, cache: Path
) -> Step:
    """One stage without its wiring: class, options, models, device."""
    stage = _stage(spec, where, base)
    model, reads = resolve_model(pipeline, spec, stage, where, base, cache)
    on_gpu = spec.resources.gpus > 0
    precision = "bf16" if spec.precision == "auto" and on_gpu else spec.precision
    device = Device(
        name="cuda" if on_gpu else "cpu",
        precision="fp32" if precision == "auto" else precision,
        threads=max(1, int(spec.resources.cpus or 1)),
    )
    return Step(
        number=number,
        task=spec.task,
        stage=stage,
        reads=reads,
        model=model,
        others={},
        inputs={},
        outputs={},
        carry=(),
        fingerprint="",
        device=device,
        limits=Limits(spec.batch.rows, spec.batch.tokens),
        row_timeout=pipeline.errors.row_timeout,
        pool=spec.pool,
        resources=spec.resources,
    )


def _explain_option(where: str, spec: StageSpec, error: Any) -> str:
    kind = catalog.stage_class(spec.task)
    known = list(kind.model_fields)
    if not error["loc"]:  # options that contradict each other
        return f"{where}, options: {error['msg'].removeprefix('Value error, ')}."
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return (
            f"{where}, options: unknown option '{name}'{nearest(name, known)}.\n"
            f"  options of {spec.task}: {', '.join(known) or 'none'}"
        )
    if error["type"] == "missing":
        said = f"{where}, options: '{name}' is missing. {kind.model_fields[name].description}"
        example = json.dumps(kind.example.get(name), ensure_ascii=False)
        return said + (f"\n  such as:  {name}: {example}" if name in kind.example else "")
    return f"{where}, options: '{name}' {expected(error)}."


def _wire(
    step: Step,
    pipeline: Pipeline,
    spec: StageSpec,
    where: str,
    flowing: _Columns,
    base: Path,
    cache: Path,
) -> Step:
    """Connect a step's inputs and outputs to the columns that flow, and resolve the models that
    these need; adds what it writes."""
    stage, reads = step.stage, step.reads
    _known(spec.input, reads, "input", where, spec.task)
    _known(spec.output, stage.writes, "output", where, spec.task)
    inputs = {
        name: spec.input.get(name, name)
        for name in reads
        if name in spec.input or name not in stage.optional_reads or name in flowing.made
    }
    for name, column in inputs.items():
        _check_input(where, name, column, reads[name], stage.rounds, flowing)
    config = config_at(step.model, where, cache) if step.model else None
    problem = stage.wired(inputs, config)
    if problem:
        raise UsageError(f"{where}: {problem}\n  columns here: {flowing.list()}")
    others = resolve_others(pipeline, spec, stage, config, inputs, where, base)
    outputs = {name: spec.output.get(name, name) for name in stage.writes}
    _check_outputs(where, outputs, spec.output, step.number, flowing)
    for name, column in outputs.items():
        flowing.made[column] = (stage.writes[name], step.task)
    return replace(step, others=others, inputs=inputs, outputs=outputs)


def _known(given: Iterable[str], known: Iterable[str], what: str, where: str, task: str) -> None:
    for name in given:
        if name not in known:
            raise UsageError(
                f"{where}, {what}: {task} has no {what} '{name}'{nearest(name, known)}.\n"
                f"  {what}s of {task}: {', '.join(known)}"
            )


def _check_input(
    where: str, name: str, column: str, wanted: pa.DataType, rounds: bool, flowing: _Columns
) -> None:
    near = [c for c, (type, _) in flowing.made.items() if fits(type, wanted, rounds)]
    meant = near[-1] if near else "COLUMN"
    if column not in flowing.made:
        raise UsageError(
            f"{where} reads column '{column}', which nothing before it makes"
            f"{nearest(column, flowing.made)}.\n"
            f"  columns here: {flowing.list()}\n"
            f"  if one of them is meant, add to the stage:  input: {{{name}: {meant}}}"
        )
    found = flowing.made[column][0]
    if not fits(found, wanted, rounds):
        raise UsageError(
            f"{where} reads column '{column}' as {wanted}, and it is {found}.\n"
            f"  columns here: {flowing.list()}\n"
            f"  to read another column, add to the stage:  input: {{{name}: {meant}}}"
        )


def _check_outputs(
    where: str,
    outputs: Mapping[str, str],
    given: Mapping[str, str],
    number: int,
    flowing: _Columns,
) -> None:
    """Refuse reserved names, and names that are taken: all at once, with a mapping to copy."""
    columns = list(outputs.values())
    for column in columns:
        if column in RESERVED or column.startswith("_"):
            raise UsageError(
                f"{where}, output: '{column}': names beginning with _ are gristmill's own."
            )
    taken = {n: c for n, c in outputs.items() if c in flowing.made or columns.count(c) > 1}
    if taken:
        other = {**given, **{name: f"{name}_{number}" for name in taken}}
        raise UsageError(f"{where} writes {_say_taken(taken.values(), other, flowing)}")


def _say_taken(columns: Iterable[str], other: Mapping[str, str], flowing: _Columns) -> str:
    """Who made these columns already, and an `output` that renames them."""
    makers = {column: flowing.made.get(column, (None, "this stage"))[1] for column in columns}
    told = ", ".join(f"'{column}'" for column in makers)
    by = " and ".join(dict.fromkeys(makers.values()))
    s, what = ("s", "them other names") if len(makers) > 1 else ("", "it another name")
    renamed = ", ".join(f"{name}: {column}" for name, column in other.items())
    return f"column{s} {told}, which {by} made already.\n  give {what}:  output: {{{renamed}}}"


def _keep(pipeline: Pipeline, file: str, flowing: _Columns, steps: list[Step]) -> tuple[str, ...]:
    """The columns to write: the file's choice, or the path and every stage's outputs."""
    if pipeline.keep is None:
        path = ["path"] if flowing.made.get("path", (None, ""))[1] == "source" else []
        return (*path, *(c for step in steps for c in step.outputs.values()))
    for name in pipeline.keep:
        if name not in flowing.made and name not in RESERVED:
            raise UsageError(
                f"{file}, keep: there is no column '{name}'{nearest(name, flowing.made)}.\n"
                f"  columns: {flowing.list()}"
            )
    return tuple(dict.fromkeys(name for name in pipeline.keep if name not in RESERVED))


def _needed_after(steps: Iterable[Step], keep: tuple[str, ...]) -> tuple[str, ...]:
    """Columns that later steps read or that are written; the rest is dropped here."""
    return tuple(dict.fromkeys([*keep, *(c for s in steps for c in s.inputs.values())]))


def _hash(above: str, said: Any) -> str:
    """Chain a description to the fingerprint above it."""
    text = above + json.dumps(said, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
