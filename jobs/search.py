"""`gristmill search`: the rows of an output that are nearest to a query."""

import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from actors.errors import UsageError
from jobs.terminal import Terminal
from pipelines.search import Places, Query, index_folder, search
from pipelines.store import Store
from pipelines.vectors import vector_column

SHOWN = 60
"""Characters of a value that the table shows; --json has all of them."""

COLUMNS = 4
"""Columns that the table shows beside the rank, the score and the place."""


def run(
    output: str,
    query: Query,
    column: str | None,
    top: int,
    base: Path,
    cache: Path,
) -> dict[str, Any]:
    """Search an output; what the index takes is told on stderr. Raises UsageError, RunFailed."""
    store = Store.at(output, Path.cwd())
    chosen = vector_column(store, column)
    places = Places(base, cache, index_folder(store, chosen.name, cache))
    rows = search(store, chosen, query, top, places, lambda line: print(line, file=sys.stderr))
    return {
        "output": output,
        "column": chosen.name,
        "model": chosen.said["model"],
        "revision": chosen.said["revision"],
        "rows": rows,
    }


def query_of(text: str | None, files: dict[str, Path | None], like: str | None) -> Query:
    """The query that the command's arguments mean: one of them. Raises UsageError."""
    given = {name: path for name, path in files.items() if path is not None}
    if (text is not None) + len(given) + (like is not None) != 1:
        flags = ", ".join(f"--{name} FILE" for name in files)
        raise UsageError(f"search takes one query: a text, {flags} or --like SOURCE:ROW")
    for name, path in given.items():
        try:
            return Query(name, path.read_bytes())
        except OSError as error:
            raise UsageError(f"--{name} {path}: {error.strerror}") from None
    return Query("text", text) if like is None else Query(row=place_of(like))


def place_of(like: str) -> tuple[str, int]:
    """The row that SOURCE:ROW names; without a number the first, as in files of one row."""
    source, _, row = like.rpartition(":")
    return (source, int(row)) if source and row.isdecimal() else (like, 0)


def print_rows(report: dict[str, Any]) -> None:
    """The rows for people."""
    console = Terminal()
    rows = report["rows"]
    if not rows:
        console.print(f"{report['output']} has no rows with a vector in '{report['column']}'")
        return
    first = ["rank", "score", "_source", "_row"]
    names = [*first, *[name for name in rows[0] if name not in first][:COLUMNS]]
    table = Table(box=None)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_short(row.get(name)) for name in names))
    console.print(table)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = "" if value is None else " ".join(str(value).split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
