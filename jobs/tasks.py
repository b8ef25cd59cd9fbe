"""`gristmill tasks`: the catalogue, and one task in full with a pipeline to copy."""

import inspect
import textwrap
from typing import Any

import pyarrow as pa
import yaml
from pydantic.fields import FieldInfo
from rich.console import Console

from actors import catalog
from actors.models.embedded import EMBEDDED
from actors.stage import Stage


def listing() -> list[dict[str, str]]:
    """Every task: name, family, one line. Imports no task."""
    return [
        {"task": t.name, "family": t.family, "summary": t.summary} for t in catalog.tasks().values()
    ]


def describe(name: str) -> dict[str, Any]:
    """One task: what it reads and writes, its options, its models, and an example."""
    stage_class = catalog.stage_class(name)
    stage = stage_class()
    return {
        "task": name,
        "about": inspect.cleandoc(stage_class.__doc__ or ""),
        "reads": {n: str(t) for n, t in stage.reads.items()},
        "optional": sorted(stage.optional_reads),
        "writes": {n: str(t) for n, t in stage.writes.items()},
        "options": [_option(n, f) for n, f in stage_class.model_fields.items()],
        "hub model": stage.models.hub,
        "embedded model": stage.models.embedded,
        "embedded licence": _licence(stage.models.embedded),
        "example": _example(name, stage),
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
        "default": field.default,
        "limits": limits,
        "help": field.description or "",
    }


def _licence(embedded: str | None) -> str | None:
    return EMBEDDED[embedded.removeprefix("embedded:")].licence if embedded else None


def _example(name: str, stage: Stage) -> str:
    """A whole pipeline file that runs with nothing but an input of one's own."""
    binary = any(pa.types.is_binary(t) for t in stage.reads.values())
    source = (
        {"kind": "images", "path": "pictures/"}
        if binary
        else {"kind": "jsonl", "path": "texts.jsonl"}
    )
    example: dict[str, Any] = {
        "name": f"try-{name}",
        "source": source,
        "stages": [{"task": name}],
        "sink": {"kind": "parquet", "path": f"out/{name}"},
    }
    if stage.models.embedded:
        example["models"] = "embedded"
    return yaml.safe_dump(example, sort_keys=False)


def print_listing(tasks: list[dict[str, str]]) -> None:
    """The list for people."""
    width = max(len(t["task"]) for t in tasks)
    for family in dict.fromkeys(t["family"] for t in tasks):
        print(family)
        for task in tasks:
            if task["family"] == family:
                print(f"  {task['task']:{width}}  {task['summary']}")
    print("\none task in full:  gristmill tasks TASK")


def print_task(task: dict[str, Any]) -> None:
    """One task for people."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{task['task']}\n\n{task['about']}\n")
    for title in ("reads", "writes"):
        console.print(title)
        for name, kind in task[title].items():
            may = "  (may be left out)" if title == "reads" and name in task["optional"] else ""
            console.print(f"  {name}: {kind}{may}")
    console.print("options")
    for option in task["options"]:
        limits = ", ".join(f"{word} {value}" for word, value in option["limits"].items())
        note = f" ({limits})" if limits else ""
        console.print(f"  {option['name']}: {option['type']} = {option['default']!r}{note}")
        console.print(textwrap.indent(textwrap.fill(option["help"], 92), "      "))
    console.print(f"models\n  hub:      {task['hub model'] or 'none: name one'}")
    licence = f" ({task['embedded licence']})" if task["embedded licence"] else ""
    console.print(f"  embedded: {task['embedded model'] or 'none'}{licence}")
    console.print(f"\na pipeline to copy\n\n{textwrap.indent(task['example'], '  ')}")
