"""How rows a second grow with machines: 1, 2 and 4 real Ray nodes here, and stages that sleep.

    python -m benchmarks.scaling [--nodes 1 2 4] [--results FILE] [--write]

Each node has one CPU, and the work is 1,000 rows of 0.05 s for each of them. A row sleeps, so that
the nodes do not compete for this machine's cores: what is measured is what Gristmill and Ray add.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from tests.nodes import Nodes, ended

ROWS, SECONDS = 1000, 0.05
"""Rows for each node, and the time of one: 50 s of work, so that starting is not all of it."""

PAGE = Path(__file__).parent.parent / "docs/scaling.md"
BEGIN, END = "<!-- scaling: measured -->", "<!-- scaling: end -->"


def run(count: int) -> dict[str, float]:
    """Rows a second of the whole run, and from its first unit to its last, on so many nodes."""
    with tempfile.TemporaryDirectory() as name, Nodes({}) as nodes:
        folder = Path(name)
        prepare(folder, ROWS * count)
        for _ in range(count):
            nodes.add(1)
        nodes.wait_for(count + 1)
        driver = nodes.run(folder)
        try:
            assert driver.wait(600) == 0, (folder / "log.txt").read_text()
        finally:
            ended(driver)
        report = json.loads((folder / "out.json").read_text())
        return {
            "nodes": count,
            "rows": report["rows"],
            "seconds": round(report["seconds"], 1),
            "whole": round(report["rows"] / report["seconds"], 2),
            "steady": round(steady(folder / "out/data"), 2),
            "units": report["status"]["units"],
        }


def prepare(folder: Path, rows: int) -> None:
    (folder / "in").mkdir()
    lines = [json.dumps({"text": f"row {row}"}) for row in range(rows)]
    (folder / "in/a.jsonl").write_text("\n".join(lines))
    stage = {"task": "tests.stages.echo:Echo", "options": {"seconds": SECONDS}}
    file = {
        "name": "scaling",
        "source": {"kind": "jsonl", "path": "in/"},
        "stages": [stage],
        "sink": {"kind": "parquet", "path": "out"},
    }
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(file))


def steady(data: Path) -> float:
    """Rows a second from when the first unit was begun to when the last was in place."""
    files = list(data.iterdir())
    parts = sorted((path.stat().st_mtime, pq.read_metadata(path).num_rows) for path in files)
    begun = parts[0][0] - parts[0][1] * SECONDS
    return sum(rows for _, rows in parts) / (parts[-1][0] - begun)


def table(results: list[dict[str, float]]) -> str:
    one = results[0]
    lines = [
        "| nodes | rows | seconds | units | rows/s, first unit to last | efficiency "
        "| rows/s, whole run | efficiency |",
        "| --- " * 8 + "|",
    ]
    for r in results:
        shares = [r[kind] / r["nodes"] / (one[kind] / one["nodes"]) for kind in ("steady", "whole")]
        lines.append(
            f"| {r['nodes']} | {r['rows']:,} | {r['seconds']} | {r['units']} | {r['steady']} | "
            f"{shares[0]:.2f} | {r['whole']} | {shares[1]:.2f} |"
        )
    return "\n".join(lines)


def write(text: str) -> None:
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--results", type=Path, help="keep results here, beside those it has")
    parser.add_argument("--write", action="store_true", help="into docs/scaling.md")
    args = parser.parse_args()
    kept: dict[str, Any] = {}
    if args.results and args.results.exists():
        kept = json.loads(args.results.read_text())
    for count in args.nodes:
        kept[str(count)] = run(count)
        if args.results:
            args.results.write_text(json.dumps(kept))
    text = table(sorted(kept.values(), key=lambda r: r["nodes"]))
    print(text)
    if args.write:
        write(text)


if __name__ == "__main__":
    main()
