"""The models that a stage of a pipeline file means: resolved, pinned, and fit for the task."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from actors.errors import UsageError
from actors.models.embedded import EMBEDDED, PREFIX
from actors.models.reference import ModelRef, config_of, resolve, resolve_files
from actors.stage import NO_MODEL, Columns, Stage
from pipelines.spec import Pipeline, StageSpec


def resolve_model(
    pipeline: Pipeline, spec: StageSpec, stage: Stage, where: str, base: Path, cache: Path
) -> tuple[ModelRef | None, Columns]:
    """Resolve the stage's model, and tell what it reads with it."""
    if stage.models is None or not stage.needs_model:
        if spec.model is not None:
            raise UsageError(f"{where}: {_without_model(spec.task, stage)}")
        return None, stage.inputs(None)
    embedded = pipeline.models == "embedded"
    name = spec.model or (stage.models.embedded if embedded else stage.models.hub)
    if name == NO_MODEL == stage.models.embedded:
        return None, stage.inputs(None)
    if name is None and stage.models.made_by:
        raise UsageError(
            f"{where}: {spec.task} needs a model of your own.\n"
            f"  make one:  {stage.models.made_by}\n"
            "  and name its folder:  model: ./FOLDER"
        )
    main = _resolve(
        name, spec.revision, where, base, spec.task, stage.models.embedded, stage.weights
    )
    config = config_at(main, where, cache)
    problem = stage.check(config) if config is not None else None
    if problem:
        raise UsageError(f"{where}: model '{main.name}': {problem}")
    return main, stage.inputs(config)


def _without_model(task: str, stage: Stage) -> str:
    """Why a stage takes no `model`."""
    named = ", ".join(name for name, _ in stage.model_options(None))
    if named:
        return f"{task} has several models; name them in  options  ({named}), not in  model."
    return f"{task} works without a model; leave  model  out."


def resolve_others(
    pipeline: Pipeline,
    spec: StageSpec,
    stage: Stage,
    config: Mapping[str, Any] | None,
    inputs: Collection[str],
    where: str,
    base: Path,
) -> dict[str, ModelRef]:
    """Resolve the models that the stage's options name, those for other inputs left out."""
    profile = "embedded" if pipeline.models == "embedded" else "hub"
    return {
        option: _other(
            getattr(stage, option) or places[profile],
            places,
            f"{where}, option '{option}'",
            base,
            spec.task,
            option,
        )
        for option, places in stage.model_options(config)
        if places.get("reads") is None or places["reads"] in inputs
    }


def _other(
    name: str | None, places: Mapping[str, Any], where: str, base: Path, task: str, option: str
) -> ModelRef:
    """Resolve the model, or the folder of files, that an option names."""
    if places.get("holds") != "files":
        if name is None:
            raise UsageError(_without_default(where, task, option, places["embedded"]))
        return _resolve(name, places.get("revision"), where, base, task, places["embedded"])
    try:
        return resolve_files(str(name), base)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def config_at(ref: ModelRef, where: str, cache: Path) -> Mapping[str, Any] | None:
    """Return a model's config.json, or None when it has none or is not here yet; raise UsageError
    that says where the pipeline file asks for it."""
    try:
        return config_of(ref, cache)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _resolve(
    name: str | None,
    revision: str | None,
    where: str,
    base: Path,
    task: str,
    instead: str | None,
    weights: bool = True,
) -> ModelRef:
    if name is None:
        raise UsageError(
            f"{where}: {task} has no default model in this profile.\n"
            f"  name one:  model: org/name  or  model: ./folder{_embedded_ones(task, instead)}"
        )
    try:
        return resolve(name, revision, base, instead, weights)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _without_default(where: str, task: str, option: str, embedded: str | None) -> str:
    """What to say where an option names no model, and the profile has none for it."""
    choices = [f"{{{option}: {name}}}" for name in ("org/name", "./folder", embedded) if name]
    return (
        f"{where}: {task} has no default for it in this profile.\n"
        f"  name one:  options: {'  or  '.join(choices)}"
    )


def _embedded_ones(task: str, default: str | None) -> str:
    """Lines that name the embedded models for a task: the default one, or those that one must
    choose, with the licence that is the reason."""
    if default == NO_MODEL:
        return f"\n  or do without weights:  model: {NO_MODEL}"
    if default:
        return f"\n  or the embedded one:  model: {default}"
    fitting = [model for model in EMBEDDED.values() if task in model.tasks]
    return "".join(f"\n  embedded:  model: {PREFIX}{m.name}  ({m.licence})" for m in fitting)
