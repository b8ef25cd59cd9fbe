"""Short ways to run the recipes' files and to read what came out."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow.dataset as ds

from actors.stage import Row
from jobs.outcome import Outcome
from jobs.prepare import prepare
from pipelines.file import override, parse, read
from tests.world import World

RECIPES = Path(__file__).parent.parent / "pipelines" / "recipes"


def go(
    world: World, cache: Path, name: str, models: Mapping[int, Path | str] | None = None
) -> Outcome:
    """Run a recipe's file in the world's folder, with one actor a stage."""
    world.file = read(RECIPES / f"{name}.yaml")
    for number in range(len(world.file.get("stages", ()))):
        override(world.file, f"stages.{number}.pool.max=1")
    for number, folder in (models or {}).items():
        override(world.file, f"stages.{number}.model={folder}")
    override(world.file, "errors.max_rejected=1.0")
    pipeline = parse(world.file, f"{name}.yaml")
    return world.go(prepare(pipeline, f"{name}.yaml", world.path, cache))


def answers(world: World) -> tuple[dict[str, str], list[Row]]:
    """The columns of data with their types, in order, and its rows in the source's order."""
    table = ds.dataset(world.out.full("data"), filesystem=world.out.system).to_table()
    rows = table.sort_by([("_source", "ascending"), ("_row", "ascending")]).to_pylist()
    return {field.name: str(field.type) for field in table.schema}, rows


def listed(fields: str) -> str:
    """A column of lists of structs, as Arrow spells its type."""
    return f"list<element: struct<{fields}>>"
