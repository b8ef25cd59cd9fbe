"""`gristmill tasks`: the catalogue, and one task in full with a pipeline to copy."""

import inspect
import json
import textwrap
from typing import Any

import pyarrow as pa
import yaml
from pydantic.fields import FieldInfo

from actors import catalog
from actors.models.embedded import EMBEDDED, PREFIX
from actors.stage import NO_MODEL, Stage
from jobs.terminal import Terminal

FILES: dict[Any, dict[str, str]] = {
    frozenset({"image"}): {"kind": "images", "path": "pictures/"},
    frozenset({"audio"}): {"kind": "audio", "path": "recordings/"},
    frozenset({"video"}): {"kind": "video", "path": "videos/"},
}
"""Columns that a folder of files gives -> the source that reads it."""

ENDINGS = {"image": "jpg", "video": "mp4"}
"""What a file in a column of an example is, by a word in the column's name; any other: WAV."""

TEXT = "Ada Lovelace was born in London. She wrote the first program for a machine of brass."
"""What a text column of an example holds."""


def listing() -> list[dict[str, Any]]:
    """Every task: name, family, one line, other names. Imports no task."""
    return [
        {"task": t.name, "family": t.family, "summary": t.summary, "aliases": list(t.aliases)}
        for t in catalog.tasks().values()
    ]


def describe(name: str) -> dict[str, Any]:
    """One task: what it reads and writes, its options, its models, and an example."""
    name = catalog.canonical(name)
    stage_class = catalog.stage_class(name)
    stage = stage_class(**stage_class.example)
    return {
        "task": name,
        "aliases": list(stage_class.aliases),
        "about": inspect.cleandoc(stage_class.__doc__ or ""),
        "reads": {n: str(t) for n, t in stage.reads.items()},
        "optional": sorted(stage.optional_reads),
        "writes": {n: str(t) for n, t in stage.writes.items()},
        "options": [_option(n, f) for n, f in stage_class.model_fields.items()],
        "models": _models(name, stage),
        "needs_model": stage.models is not None,
        "example": yaml.safe_dump(example_of(name, stage), sort_keys=False),
        "sample": sample_of(stage),
        "rows": rows_of(stage),
    }


def _option(name: str, field: FieldInfo) -> dict[str, Any]:
    limits = {
        word: getattr(m, word)
        for m in field.metadata
        for word in ("ge", "gt", "le", "lt", "min_length", "max_length")
        if getattr(m, word, None) is not None
    }
    kind = getattr(field.annotation, "__name__", None) or str(field.annotation)
    if "[" in str(field.annotation) or "|" in str(field.annotation):
        kind = str(field.annotation).replace("typing.", "")
    return {
        "name": name,
        "type": kind,
        "required": field.is_required(),
        "default": None if field.is_required() else field.default,
        "limits": limits,
        "help": field.description or "",
    }


def _models(name: str, stage: Stage) -> list[dict[str, str | None]]:
    """The default on the hub, then the embedded models that can do the task, its default first."""
    models = stage.models
    if models is None:
        return []
    hub = {"name": models.hub, "licence": models.licence, "quality": None}
    fitting = [e for e in EMBEDDED.values() if name in e.tasks]
    fitting.sort(key=lambda e: PREFIX + e.name != models.embedded)
    none = {"name": NO_MODEL, "licence": "no weights", "quality": None}
    return (
        [hub] * bool(models.hub)
        + [none] * (models.embedded == NO_MODEL)
        + [{"name": PREFIX + e.name, "licence": e.licence, "quality": e.quality} for e in fitting]
    )


def example_of(name: str, stage: Stage) -> dict[str, Any]:
    """A whole pipeline file that runs with nothing but an input of one's own."""
    spec: dict[str, Any] = {"task": name}
    if stage.models is not None and not (stage.models.hub or stage.models.embedded):
        spec["model"] = "./model"
    if stage.example:
        spec["options"] = json.loads(stage.model_dump_json(include=set(stage.example)))
    example: dict[str, Any] = {
        "name": f"try-{name}",
        "source": _source(stage),
        "stages": [spec],
        "sink": {"kind": "parquet", "path": f"out/{name}"},
    }
    if _works_embedded(stage):
        example["models"] = "embedded"
    return example


def _works_embedded(stage: Stage) -> bool:
    """Whether the example's columns are enough for the embedded model, or for none at all."""
    embedded = stage.models.embedded if stage.models is not None else None
    if embedded == NO_MODEL:
        return stage.wired(_shown(stage), None) is None
    return embedded is not None


def _source(stage: Stage) -> dict[str, str]:
    """The source that makes the stage's columns: a folder of files, or a table."""
    shown = _shown(stage)
    if frozenset(shown) in FILES:
        return FILES[frozenset(shown)]
    if any(_holds_files(stage.reads[name]) for name in shown if name in stage.reads):
        return {"kind": "parquet", "path": "rows.parquet"}
    return {"kind": "jsonl", "path": "rows.jsonl"}


def _shown(stage: Stage) -> list[str]:
    """The columns of the example: those that the stage needs and those of its sample; all of
    them, where each may be left out."""
    needed = [name for name in stage.reads if name not in stage.optional_reads]
    return list(dict.fromkeys([*needed, *stage.sample])) or list(stage.reads)


def _holds_files(kind: pa.DataType) -> bool:
    one = kind.value_type if pa.types.is_list(kind) else kind
    return bool(pa.types.is_binary(one))


def sample_of(stage: Stage) -> dict[str, Any] | None:
    """A row of the example's input, for a task that reads a table of text and numbers."""
    if _source(stage)["kind"] != "jsonl":
        return None
    return {name: stage.sample.get(name, TEXT) for name in stage.sample or stage.reads}


def rows_of(stage: Stage) -> str | None:
    """Python that writes the example's Parquet file, for a task that reads files and other
    columns, or several files in a row."""
    if _source(stage)["kind"] != "parquet":
        return None
    cells = ", ".join(f'"{name}": {_cell(stage, name)}' for name in _shown(stage))
    return (
        "from pathlib import Path\n"
        "import pyarrow as pa\n"
        "import pyarrow.parquet as pq\n"
        f"rows = [{{{cells}}}]\n"
        'pq.write_table(pa.Table.from_pylist(rows), "rows.parquet")\n'
    )


def _cell(stage: Stage, name: str) -> str:
    """A cell of that file, in Python: the bytes of a file of the column's name, or a value."""
    kind = stage.reads.get(name)
    if kind is None or not _holds_files(kind):
        return repr(stage.sample.get(name, TEXT))
    ending = next((end for word, end in ENDINGS.items() if word in name), "wav")
    if pa.types.is_binary(kind):
        return f'Path("{name}.{ending}").read_bytes()'
    return f'[path.read_bytes() for path in sorted(Path("{name}").glob("*.{ending}"))]'


def print_listing(tasks: list[dict[str, Any]]) -> None:
    """The list for people."""
    width = max(len(t["task"]) for t in tasks)
    for family in sorted({t["family"] for t in tasks}):
        print(family)
        for task in tasks:
            if task["family"] == family:
                print(f"  {task['task']:{width}}  {task['summary']}")
    for task in tasks:
        for alias in task["aliases"]:
            print(f"{alias} is {task['task']}")
    print("\none task in full:  gristmill tasks TASK")


def print_task(task: dict[str, Any]) -> None:
    """One task for people."""
    console = Terminal(soft_wrap=True)
    also = f", also called {', '.join(task['aliases'])}" if task["aliases"] else ""
    console.print(f"{task['task']}{also}\n\n{task['about']}\n")
    for title in ("reads", "writes"):
        console.print(title)
        for name, kind in task[title].items():
            may = "  (may be left out)" if title == "reads" and name in task["optional"] else ""
            console.print(f"  {name}: {kind}{may}")
        if not task[title]:
            console.print("  the columns that the model was trained on")
    console.print("options")
    for option in task["options"]:
        limits = ", ".join(f"{word} {value}" for word, value in option["limits"].items())
        note = f" ({limits})" if limits else ""
        given = ", required" if option["required"] else f" = {option['default']!r}"
        console.print(f"  {option['name']}: {option['type']}{given}{note}")
        console.print(textwrap.indent(textwrap.fill(option["help"], 92), "      "))
    own = "needs a model of your own" if task["needs_model"] else "works without a model"
    console.print("models, the defaults first" if task["models"] else own)
    for model in task["models"]:
        console.print(f"  {model['name']} ({model['licence'] or 'licence not stated'})")
        if model["quality"]:
            console.print(textwrap.indent(textwrap.fill(model["quality"], 92), "      "))
    console.print(f"\na pipeline to copy\n\n{textwrap.indent(task['example'], '  ')}")
    if task["sample"]:
        console.print(f"and a line of rows.jsonl\n\n  {json.dumps(task['sample'])}")
    if task["rows"]:
        console.print(f"and rows.parquet, in Python\n\n{textwrap.indent(task['rows'], '  ')}")
