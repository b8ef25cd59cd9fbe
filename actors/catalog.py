"""The catalogue: every task, found by looking at the files. Listing them imports none.

A task is a file `actors/<family>/<task>.py` with one public class derived from Stage; its name is
the file's, with hyphens, and the class may list further ones as `aliases`. Files without such a
class are no tasks. A stage of one's own is named `module:Class`.
"""

import ast
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from actors.errors import UsageError, nearest
from actors.stage import Stage

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Task:
    """One entry of the catalogue: `summary` is the first line of the Stage's docstring."""

    name: str
    family: str
    module: str
    summary: str
    aliases: tuple[str, ...] = ()


@cache
def tasks() -> dict[str, Task]:
    """Return all tasks by name, in alphabetical order."""
    found = sorted(_scan(HERE), key=lambda task: task.name)
    return {task.name: task for task in found}


def names() -> list[str]:
    """Return the names of all tasks, in alphabetical order."""
    return list(tasks())


def canonical(name: str) -> str:
    """Return the task that an alias stands for; any other name is returned as it is."""
    return _aliases().get(name, name)


@cache
def _aliases() -> dict[str, str]:
    return {alias: task.name for task in tasks().values() for alias in task.aliases}


def _scan(folder: Path) -> Iterator[Task]:
    for path in folder.glob("*/[a-z]*.py"):
        stage = _stage_in(path)
        if stage is not None:
            name, family = path.stem.replace("_", "-"), path.parent.name
            summary = (ast.get_docstring(stage) or "").partition("\n")[0]
            module = f"{folder.name}.{family}.{path.stem}"
            yield Task(name, family, module, summary, _aliases_of(stage))


def _stage_in(path: Path) -> ast.ClassDef | None:
    """Return the first class of a file that is derived from Stage."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef) and any(map(_is_stage, node.bases)):
            return node
    return None


def _aliases_of(stage: ast.ClassDef) -> tuple[str, ...]:
    """Return the aliases that a class states."""
    for node in stage.body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "aliases" and node.value:
            return tuple(ast.literal_eval(node.value))
    return ()


def _is_stage(base: ast.expr) -> bool:
    """By its name: Stage, or a base that shares options, such as TextStage."""
    return ast.unparse(base).endswith("Stage")


def stage_class(name: str) -> type[Stage]:
    """Import the stage of a task, or of `module:Class`; raise UsageError if there is none."""
    if ":" in name:
        return _own_stage(name)
    task = tasks().get(canonical(name))
    if task is None:
        raise UsageError(
            f"there is no task '{name}'{nearest(name, [*names(), *_aliases()])}\n"
            f"  tasks: {', '.join(names())}\n"
            "  a stage of your own is named module:Class"
        )
    return _only_stage(task.module)


def _only_stage(module: str) -> type[Stage]:
    """Return the one public Stage that a module defines."""
    found = [c for c in _stages(module) if not c.__name__.startswith("_")]
    if len(found) != 1:
        raise UsageError(
            f"{module} must define one public Stage, and defines"
            f" {', '.join(c.__name__ for c in found) or 'none'};"
            " one file is one task"
        )
    return found[0]


def _stages(module: str) -> list[type[Stage]]:
    members = inspect.getmembers(importlib.import_module(module), inspect.isclass)
    return [c for _, c in members if issubclass(c, Stage) and c.__module__ == module]


def _own_stage(name: str) -> type[Stage]:
    """Return the class that `module:Class` names."""
    module, _, wanted = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), wanted, None)
    except ImportError as error:
        raise UsageError(
            f"task '{name}': module '{module}' cannot be imported: {error}\n"
            "  is its folder on PYTHONPATH, or the one that you start from?"
        ) from error
    if inspect.isclass(found) and issubclass(found, Stage) and found is not Stage:
        return found
    choices = [c.__name__ for c in _stages(module)]
    raise UsageError(
        f"task '{name}': module '{module}' has no Stage '{wanted}'{nearest(wanted, choices)}\n"
        f"  stages there: {', '.join(choices) or 'none'}"
    )
