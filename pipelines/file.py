"""Reads a pipeline file. Every error names the file, the place, and what to type instead."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from actors.errors import UsageError, nearest
from pipelines.sources import KINDS, AnySource
from pipelines.spec import Pipeline

MAX_BYTES = 1_000_000
"""A pipeline file is a page; a larger one is somebody's data, or hostile."""


class _Loader(yaml.SafeLoader):
    """Safe YAML without aliases (they can blow up a file) and without repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"aliases (*name) are not allowed{self._where()}")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        repeated = next((k for n, k in enumerate(keys) if k in keys[:n]), None)
        if repeated is not None:
            raise yaml.YAMLError(f"'{repeated}' stands twice, line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)

    def _where(self) -> str:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        return f", line {event.start_mark.line + 1}"


def load(path: Path, settings: Sequence[str] = ()) -> Pipeline:
    """Read and check a pipeline file; `settings` are `a.b.0.c=value` overrides.

    Raises UsageError.
    """
    return parse(read(path), path.name, settings)


def read(path: Path) -> Any:
    """The YAML of a file, safely. Raises UsageError."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path}: larger than {MAX_BYTES:,} bytes, so no pipeline file.")
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise UsageError(_no_file(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path}: not valid YAML: {error}") from None


def parse(data: Any, file: str, settings: Sequence[str] = ()) -> Pipeline:
    """Check a mapping as a pipeline. Raises UsageError."""
    if not isinstance(data, dict):
        raise UsageError(
            f"{file}: a pipeline file is a mapping with name, source, stages and sink; "
            f"this is {'empty' if data is None else type(data).__name__}."
        )
    for setting in settings:
        _override(data, setting)
    try:
        return Pipeline.model_validate(data)
    except ValidationError as error:
        lines = [_explain(e, data) for e in error.errors()]
        raise UsageError("\n".join(f"{file}{line}" for line in lines)) from None


def _no_file(path: Path) -> str:
    here = sorted(p.name for p in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
    there = f"\n  pipeline files here: {', '.join(here)}" if here else ""
    return f"{path}: there is no such file{nearest(path.name, here)}.{there}"


def _override(data: Any, setting: str) -> None:
    """Apply one `a.b.0.c=value`; the value is YAML."""
    place, equals, text = setting.partition("=")
    keys = place.strip().split(".")
    if not equals or not all(keys):
        raise UsageError(f"--set {setting}: expected a.b.c=value, as in stages.0.options.top_k=3")
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
        for key in keys[:-1]:
            data = data[int(key)] if isinstance(data, list) else data.setdefault(key, {})
        last: Any = int(keys[-1]) if isinstance(data, list) else keys[-1]
        data[last] = value
    except (ValueError, IndexError, TypeError, AttributeError, yaml.YAMLError):
        raise UsageError(f"--set {setting}: there is no such place in the pipeline file.") from None


def _explain(error: Any, data: Any) -> str:
    """One line for one pydantic error: place, what was expected, the nearest right word."""
    place = [p for p in error["loc"] if not _is_tag(p)]
    where = _where(place, data)
    key = str(place[-1]) if place else ""
    if error["type"] == "extra_forbidden":
        known = _known_keys(place[:-1], error, data)
        return f"{where}: unknown key '{key}'{nearest(key, known)}." + (
            f"\n  keys here: {', '.join(known)}" if known else ""
        )
    if error["type"] == "missing":
        return f"{where}: '{key}' is missing."
    if error["type"] == "source_kind":
        return f", source: {error['msg']}."
    got = f" (got {error['input']!r})" if isinstance(error["input"], (str, int, float)) else ""
    return f"{where}: '{key}': {error['msg'].removeprefix('Value error, ')}{got}."


def _is_tag(part: Any) -> bool:
    """Whether a part of pydantic's location names the member of a union, not a key."""
    return part in KINDS


def _where(place: Sequence[Any], data: Any) -> str:
    """ ", stage 2 (ner), options" for ("stages", 1, "options", "x")."""
    words = []
    rest = list(place[:-1])
    if len(rest) >= 2 and rest[0] == "stages" and isinstance(rest[1], int):
        task = data["stages"][rest[1]]
        name = task.get("task") if isinstance(task, dict) else None
        words.append(f"stage {rest[1] + 1}" + (f" ({name})" if name else ""))
        rest = rest[2:]
    words += [str(part) for part in rest]
    return "".join(f", {word}" for word in words)


def _known_keys(place: Sequence[Any], error: Any, data: Any) -> list[str]:
    """The keys that the model at a place has."""
    model: Any = Pipeline
    for part in place:
        if isinstance(part, int):
            continue
        if part == "source" and model is Pipeline:
            return _source_keys(data)
        found = model.model_fields.get(part)
        model = _model_in(found.annotation) if found else None
        if model is None:
            return []
    return list(model.model_fields)


def _source_keys(data: Mapping[str, Any]) -> list[str]:
    union = get_args(get_args(AnySource)[0])[0]
    kind = data["source"].get("kind")
    models = [m for m in get_args(union) if m.model_fields["kind"].default == kind]
    return list(models[0].model_fields) if models else []


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for a in get_args(annotation) if (m := _model_in(a))), None)
