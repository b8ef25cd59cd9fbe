"""Reads a pipeline file. Every error names the file, the place, and what to type instead."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from actors.errors import UsageError, nearest
from pipelines.sinks import SINKS, AnySink
from pipelines.sources import KINDS, AnySource
from pipelines.sources.csv import DELIMITER
from pipelines.spec import NAME, Pipeline

MAX_BYTES = 1_000_000
"""A pipeline file is a page; a larger one is somebody's data, or hostile."""

BLOCKS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "source": (AnySource, KINDS),
    "sink": (AnySink, SINKS),
}
"""The blocks that come in kinds: what describes them, and the kinds' names."""

EXAMPLES = {
    "name": "documents",
    "source": "{kind: images, path: FOLDER}",
    "stages": "[{task: ocr}]",
    "sink": "{kind: parquet, path: NEW_FOLDER}",
    "target": "COLUMN",
    "output": "models/NEW_FOLDER",
}
"""What to type where a key of the file is missing."""

EXPECTED = {
    "tuple_type": "should be a list",
    "dict_type": "should be a mapping",
    "model_type": "should be a mapping",
    "model_attributes_type": "should be a mapping",
    "string_type": "should be text",
    "invalid_key": "should be a key in quotes",
    "int_parsing": "should be a whole number",
    "int_type": "should be a whole number",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "string_pattern_mismatch": "should match the pattern {pattern}",
    "string_too_short": "should be text of length {min_length} or more",
    "string_too_long": "should be text of length {max_length} or less",
    "too_short": "should be a list of length {min_length} or more, not {actual_length}",
    "too_long": "should be a list of length {max_length} or less, not {actual_length}",
}
"""What pydantic says in Python's words, in those of a pipeline file; in braces, its context."""

PATTERNS = {
    NAME: "should be letters, digits and . _ - only, a letter or digit first",
    DELIMITER: "should be one character, and no line break or quote",
}
"""Patterns in words."""


Kind = TypeVar("Kind", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Safe YAML without aliases (they can blow up a file) and without repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            line = event.start_mark.line + 1
            raise yaml.YAMLError(f"line {line}: aliases (*name) are not allowed; write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            name = str(key.value)
            if name in lines:
                first = lines[name]
                raise yaml.YAMLError(f"line {line}: '{name}' stands in line {first} already")
            lines[name] = line
        return super().construct_mapping(node, deep)


def load(path: Path, settings: Sequence[str] = ()) -> Pipeline:
    """Read and check a pipeline file; `settings` are `a.b.0.c=value` overrides.

    Raises UsageError.
    """
    return parse(read(path), path.name, settings)


def read(path: Path) -> Any:
    """The YAML of a file, safely. Raises UsageError."""
    try:
        return yaml.load(page(path, "pipeline file"), _Loader)  # noqa: S506 - a SafeLoader
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{path}: there is no such file{files_in(path.parent, path)}") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: this is a folder{files_in(path, path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a 99th month
        raise UsageError(f"{path}: not valid YAML: {_problem(error)}") from None


def page(path: Path, what: str) -> str:
    """The text of a file that should be a page; a device or a pipe may have no end.

    Raises UsageError, OSError, UnicodeDecodeError.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise UsageError(f"{path}: larger than {MAX_BYTES:,} bytes, so no {what}.")
    return content.decode()


def parse(data: Any, file: str, settings: Sequence[str] = ()) -> Pipeline:
    """Check a mapping as a pipeline. Raises UsageError."""
    if not isinstance(data, dict):
        this = {type(None): "empty", list: "a list"}.get(type(data), f"{str(data)[:40]!r}")
        raise UsageError(
            f"{file}: a pipeline file is a mapping with name, source, stages and sink; "
            f"this is {this}.\n  a whole one to copy:  gristmill tasks TASK"
        )
    if "task" in data and "stages" not in data:
        raise UsageError(
            f"{file}: this looks like a training file; to train its model:  gristmill train {file}"
        )
    for setting in settings:
        override(data, setting)
    return checked(Pipeline, data, file)


def checked(kind: type[Kind], data: Mapping[str, Any], file: str) -> Kind:
    """Check a mapping as what `kind` describes. Raises UsageError with a line for each error."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        lines = [_explain(e, data, kind) for e in _causes(error.errors())]
        raise UsageError("\n".join(f"{file}{line}" for line in lines)) from None


def files_in(folder: Path, asked: Path, what: str = "pipeline files") -> str:
    """The nearest YAML file of a folder, and all of them, as the end of a message."""
    here = sorted(p.name for p in folder.glob("*.y*ml")) if folder.is_dir() else []
    there = f"\n  {what} in {folder}: {', '.join(here)}" if here else ""
    return f"{nearest(asked.name, here)}.{there}"


def _problem(error: Exception) -> str:
    """What is wrong in YAML, and in which line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        hint = ": quote it" if "got '?'" in str(error.problem) else ""
        return f"line {error.problem_mark.line + 1}: {error.problem}{hint}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def override(data: Any, setting: str) -> None:
    """Apply one `a.b.0.c=value`; the value is YAML. Raises UsageError."""
    place, equals, text = setting.partition("=")
    keys = place.strip().split(".")
    if not equals or not all(keys):
        raise UsageError(
            f"--set {setting}: this is no PLACE=VALUE\n"
            "  write, for example:  --set stages.0.options.top_k=3"
        )
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a 99th month
        raise UsageError(f"--set {setting}: the value is not YAML: {_problem(error)}") from None
    for number, key in enumerate(keys[:-1]):
        data = _inside(data, key, setting, ".".join(keys[:number]))
    _inside(data, keys[-1], setting, ".".join(keys[:-1]))
    data[int(keys[-1]) if isinstance(data, list) else keys[-1]] = value


def _inside(data: Any, key: str, setting: str, place: str) -> Any:
    """What stands under a key; a mapping's missing key is made. Raises UsageError."""
    if isinstance(data, dict):
        return data.setdefault(key, {})
    if not isinstance(data, list):
        raise UsageError(f"--set {setting}: '{place}' is {data!r}, so nothing stands below it.")
    if not key.isdecimal() or int(key) >= len(data):
        raise UsageError(
            f"--set {setting}: '{place}' has no entry {key}; it has {len(data)}, counted from 0."
        )
    return data[int(key)]


def _causes(errors: Sequence[Any]) -> list[Any]:
    """Leave out what only follows: a list of which every entry is wrong is not empty."""
    deep = {e["loc"][:1] for e in errors if len(e["loc"]) > 1}
    return [e for e in errors if e["type"] != "too_short" or e["loc"] not in deep]


def _explain(error: Any, data: Any, kind: type[BaseModel]) -> str:
    """One line for one pydantic error: place, what was expected, the nearest right word."""
    place = [p for n, p in enumerate(error["loc"]) if not _is_tag(n, error["loc"])]
    if place[-1:] and isinstance(place[-1], int) and place[0] == "stages":
        return f"{_where([*place, ''], data)} {expected(error)}.\n  such as:  - task: ocr"
    where = _where(place, data)
    key = str(place[-1]) if place else ""
    if error["type"] == "extra_forbidden":
        known = _known_keys(place[:-1], data, kind)
        return f"{where}: unknown key '{key}'{nearest(key, known)}." + (
            f"\n  keys here: {', '.join(known)}" if known else ""
        )
    if error["type"] in ("missing", "too_short"):
        said = "missing" if error["type"] == "missing" else "empty"
        example = f"\n  add:  {key}: {EXAMPLES[key]}" if where == "" and key in EXAMPLES else ""
        return f"{where}: '{key}' is {said}.{example}"
    if error["type"] in ("source_kind", "sink_kind"):
        return f", {place[-1]}: {error['msg']}."
    return f"{where}: '{key}' {expected(error)}."


def expected(error: Any) -> str:
    """What a pydantic error says should stand in a place, and what does: the end of a sentence."""
    said = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    given, near = error["input"], ""
    if error["type"] == "literal_error":
        words = error["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        near = nearest(str(given), words)
    instead = f", not {given!r}" if given is None or isinstance(given, (str, int, float)) else ""
    if error["type"] in EXPECTED:
        context = error.get("ctx", {})
        said = PATTERNS.get(context.get("pattern")) or EXPECTED[error["type"]].format(**context)
    return f"{said}{instead}{near}"


def _is_tag(number: int, place: Sequence[Any]) -> bool:
    """Whether a part of pydantic's location names a member of a union, not a key."""
    kind = number == 1 and place[1] in BLOCKS.get(str(place[0]), (None, ()))[1]
    return kind or (number == 3 and place[0] == "source" and place[2] == "path")


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


def _known_keys(place: Sequence[Any], data: Any, kind: type[BaseModel]) -> list[str]:
    """The keys that the model at a place has."""
    model: Any = kind
    for part in place:
        if isinstance(part, int):
            continue
        if part in BLOCKS and model is kind:
            return _block_keys(part, data)
        found = model.model_fields.get(part)
        model = _model_in(found.annotation) if found else None
        if model is None:
            return []
    return _keys(model)


def _block_keys(block: str, data: Mapping[str, Any]) -> list[str]:
    """The keys of the source or the sink, of the kind that the file chose."""
    found = get_args(BLOCKS[block][0])[0]
    kind = data[block].get("kind", "parquet")
    models = [m for m in get_args(found) or [found] if m.model_fields["kind"].default == kind]
    return _keys(models[0]) if models else []


def _keys(model: type[BaseModel]) -> list[str]:
    """What the fields of a model are called in the file."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for a in get_args(annotation) if (m := _model_in(a))), None)
