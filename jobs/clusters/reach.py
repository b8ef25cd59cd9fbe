"""Whether a cluster can reach what a pipeline file names: its folder there lives as long as the
job does, so a relative path would be lost with it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actors.errors import UsageError
from pipelines.spec import Pipeline


def check_reach(pipeline: Pipeline, file: str, root: Path, base: Path) -> list[str]:
    """Refuse paths that the job would lose. Raises UsageError.

    Returns the local paths that every machine of the cluster must see.
    """
    local = [(place, path) for place, path in _paths(pipeline) if "://" not in path]
    for place, path in local:
        if not Path(path).is_absolute():
            raise UsageError(_relative(file, place, path, (base / path).resolve()))
    for place, path in _databases(pipeline):
        raise UsageError(_relative(file, place, path, (base / path).resolve(), "sqlite:///"))
    for number, spec in enumerate(pipeline.stages):
        if spec.model and spec.model.startswith((".", "..")):
            _check_model(f"{file}, stage {number + 1} ({spec.task})", spec.model, root, base)
    return [path for _, path in local]


def local_paths(pipeline: Pipeline) -> list[Path]:
    """The local places of the source and the sink."""
    return [Path(path) for _, path in _paths(pipeline) if "://" not in path]


def _paths(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """Place in the file -> path, of the sink and of sources that have one."""
    given: Any = getattr(pipeline.source, "path", None)
    if isinstance(given, str):
        yield "source.path", given
    for number, path in enumerate(given if isinstance(given, tuple) else ()):
        yield f"source.path.{number}", path
    yield "sink.path", pipeline.sink.path


def _databases(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """Place in the file -> path, of SQLite files (a source, a catalog) by a relative path."""
    for block, model in (("source", pipeline.source), ("sink", pipeline.sink)):
        fields = model.model_dump()
        catalog = fields.pop("catalog", None) or {}
        given = fields | {f"catalog.{key}": value for key, value in catalog.items()}
        for key, value in given.items():
            found = re.match(r"sqlite:///([^/].*)", value) if isinstance(value, str) else None
            if found:
                yield f"{block}.{key}", found[1]


def _relative(file: str, place: str, path: str, here: Path, scheme: str = "") -> str:
    return (
        f"{file}: {place} is {path!r}, relative to the file; on the cluster that is a folder which "
        "is deleted when\n  the job ends. Name a place that all its machines see:\n"
        + ("" if scheme else f"    --set {place}=s3://BUCKET/{here.name}\n")
        + f"    --set {place}={scheme}{here}     if they see this path (one machine, a shared disk)"
    )


def _check_model(where: str, model: str, root: Path, base: Path) -> None:
    if not (base / model).resolve().is_relative_to(root):
        raise UsageError(
            f"{where}: model {model!r} lies outside the folder that is sent, {root}.\n"
            "  send a folder with both:  --root FOLDER"
        )
