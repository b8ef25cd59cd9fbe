"""A folder with a source, a pipeline of echo stages and its output, and short ways to run it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from jobs.outcome import Options, Outcome
from jobs.prepare import Prepared, prepare
from jobs.run import run
from pipelines.file import parse
from pipelines.store import DATA, REJECTS, Store

ECHO = "tests.stages.echo:Echo"

Place = tuple[str, int]


class World:
    """`path` holds `in/` (or `source`) and `out/`; `file` is the pipeline file's content."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: dict[str, Any] = {
            "name": "test",
            "source": {"kind": "jsonl", "path": "in/"},
            "stages": [{"task": ECHO, "pool": {"max": 1}}],
            "keep": ["upper"],
            "errors": {"max_rejected": 1.0},
            "sink": {"kind": "parquet", "path": "out"},
        }
        (path / "in").mkdir()

    def lines(self, name: str, texts: Sequence[str | None]) -> Path:
        """A JSON Lines file with these texts."""
        path = self.path / "in" / name
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        return path

    def table(self, name: str, texts: Sequence[str | None]) -> Path:
        """A Parquet file with these texts."""
        path = self.path / "in" / name
        pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), path)
        return path

    def stages(self, *options: Mapping[str, Any]) -> None:
        """One echo stage per mapping of options; each reads what the one before it wrote."""
        self.file["stages"] = [
            {
                "task": ECHO,
                "options": dict(given),
                "pool": {"max": 1},
                "input": {"text": f"upper{n - 1}" if n else "text"},
                "output": {"upper": f"upper{n}", "score": f"score{n}"},
            }
            for n, given in enumerate(options)
        ]
        self.file["keep"] = [f"upper{n}" for n in range(len(options))]

    def prepare(self, fresh: bool = False) -> Prepared:
        """List the source and check the pipeline."""
        pipeline = parse(self.file, "test.yaml")
        return prepare(pipeline, "test.yaml", self.path, self.path / "cache", fresh)

    def run(self, **options: Any) -> Outcome:
        """Run the pipeline as `gristmill run` does."""
        return self.go(self.prepare(options.get("fresh", False)), **options)

    def go(self, prepared: Prepared, **options: Any) -> Outcome:
        """Run what is prepared."""
        return run(prepared, Options(**options), lambda plan, status: None)

    @property
    def out(self) -> Store:
        return Store.at(self.file["sink"]["path"], self.path)

    def data(self) -> dict[Place, Any]:
        """What stands in data: place -> the kept column, or a tuple of them if there are more."""
        table = ds.dataset(self.out.full(DATA), filesystem=self.out.system).to_table()
        found = {}
        for row in table.to_pylist():
            place = row.pop("_source"), row.pop("_row")
            assert place not in found
            found[place] = next(iter(row.values())) if len(row) == 1 else tuple(row.values())
        return found

    def rejects(self, *columns: str) -> dict[Place, Any]:
        """What stands in rejects: place -> the reason, or these columns."""
        folder = self.out.full(REJECTS)
        rows = [
            row
            for name in self.out.names(REJECTS)
            for row in pq.read_table(f"{folder}/{name}", filesystem=self.out.system).to_pylist()
        ]
        found = {
            (row["_source"], row["_row"]): tuple(row[c] for c in columns) or row["reason"]
            for row in rows
        }
        assert len(found) == len(rows)
        return found

    def parts(self) -> list[str]:
        """The names of the parts of data."""
        return self.out.names(DATA)
