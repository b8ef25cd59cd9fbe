"""What the driver's side of a run costs: listing, ledger, dispatcher, status; with --ray, calls.

python -m benchmarks.driver [--files 100000] [--parts 10000] [--ray]
"""

import argparse
import json
import pickle
import resource
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from actors.worker import Report
from pipelines.dispatch import Dispatcher, Work
from pipelines.flow import Committed, Took
from pipelines.ledger import read_ledger
from pipelines.lock import Lock
from pipelines.parts import KEYS, Answers, Footer, place
from pipelines.reuse import index_of
from pipelines.sources import Text
from pipelines.state import sort_files, work_of
from pipelines.store import Store
from pipelines.units import SourceFile

FOLDER_FILES = 1000
"""Files in one folder of the source, as large corpora lie."""

CALLERS, CALLS = 4, 2000
"""Processes that call the dispatcher through Ray, and how often each does."""


@contextmanager
def measured(found: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    found[f"{name}, s"] = round(time.perf_counter() - start, 3)


def peak_of(made: Callable[[], Any]) -> float:
    """MB that something holds when it is made."""
    tracemalloc.start()
    kept = made()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return round(size / 1e6, 1)


def listing(folder: Path, count: int, found: dict[str, float]) -> list[SourceFile]:
    for number in range(count):
        if number % FOLDER_FILES == 0:
            (folder / f"{number // FOLDER_FILES:05d}").mkdir(parents=True)
        (folder / f"{number // FOLDER_FILES:05d}" / f"{number:07d}.txt").write_text("a text")
    source = Text(path=str(folder))
    with measured(found, f"list {count:,} files"):
        files = source.files(Path())
    found["a listed file, bytes"] = round(peak_of(lambda: source.files(Path())) * 1e6 / count)
    return files


def dispatching(files: list[SourceFile], found: dict[str, float]) -> None:
    """All calls that a unit of a three-stage run makes, one after the other."""
    stages = ["one", "two", "three"]
    source = Text(path="unused")
    schema = pa.schema([("text", pa.string())])
    work = Work(tuple(files), sum(file.size for file in files))
    dispatcher = Dispatcher(source, schema, work, dict.fromkeys(stages, 500), {"one": 2.0})
    number = 0
    start = time.perf_counter()
    while (ticket := dispatcher.deal(number).ticket) is not None:
        for stage in stages:
            dispatcher.step_done(stage, Report(rows=ticket.unit.rows, wall=2.0 * ticket.unit.rows))
        took = {stage: Took(0.0, 1.0) for stage in stages}
        dispatcher.committed(Committed(ticket.part, ticket.unit.rows, 0, {}, took))
        number += 1
    seconds = time.perf_counter() - start
    found["units dealt and committed"] = number
    found["calls of the dispatcher a second"] = round(number * 5 / seconds)
    with measured(found, "status, 1,000 times"):
        for _ in range(1000):
            dispatcher.status()
    found["state that stays for a unit, bytes"] = round(
        len(pickle.dumps(dispatcher._dealt)) / number
    )


def calling(found: dict[str, float]) -> None:
    """The same dispatcher behind Ray, asked by four processes at once."""
    import ray
    from jobs.session import connected

    schema = pa.schema([("text", pa.string())])
    with connected(None):
        actor = ray.remote(Dispatcher).options(num_cpus=0, max_concurrency=8)
        dispatcher = actor.remote(Text(path="unused"), schema, Work(()), {"one": 1}, {})

        @ray.remote(num_cpus=0)
        def call(times: int) -> None:
            ray.get([dispatcher.step_done.remote("one", Report(rows=1)) for _ in range(times)])

        ray.get([call.remote(10) for _ in range(CALLERS)])
        start = time.perf_counter()
        ray.get([call.remote(CALLS) for _ in range(CALLERS)])
        seconds = time.perf_counter() - start
    found["calls of the dispatcher a second, through Ray"] = round(CALLERS * CALLS / seconds)


def ledger(folder: Path, parts: int, found: dict[str, float]) -> None:
    store = Store.at(str(folder), Path())
    store.prepare()
    schema = pa.schema([*KEYS, ("text", pa.string())])
    table = pa.table({"_source": ["a"] * 64, "_row": range(64), "text": ["t"] * 64}).cast(schema)
    none = pa.table({})
    with Lock(store, "run").held(), measured(found, f"commit {parts:,} parts"):
        for n in range(parts):
            answers = (
                Answers(f"{n // 100:04d}.jsonl", "64-1", n % 100 * 64, n % 100 * 64 + 64, 6400),
            )
            place(store, table, none, Footer(f"{n:020x}", 0, "run", 64, 0, answers, "f"))
    with measured(found, f"read {parts:,} footers"):
        made = read_ledger(store)
    found["a footer in memory, bytes"] = round(peak_of(lambda: read_ledger(store)) * 1e6 / parts)
    index = pickle.dumps(index_of(made))
    found["a part that --reuse knows, bytes in every actor's job"] = round(len(index) / parts)
    files = [SourceFile(f"{n:04d}.jsonl", 64, "64-1", "/x") for n in range(parts // 100)]
    with measured(found, "compare listing and ledger"):
        work_of(made, sort_files(files, made))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--parts", type=int, default=10_000)
    parser.add_argument("--ray", action="store_true", help="measure calls through Ray, only these")
    args = parser.parse_args()
    found: dict[str, float] = {}
    if args.ray:
        calling(found)
        print(json.dumps(found, indent=1))
        return
    with tempfile.TemporaryDirectory() as folder:
        files = listing(Path(folder) / "in", args.files, found)
        dispatching(files, found)
        ledger(Path(folder) / "out", args.parts, found)
    found["peak memory of all this, MB"] = round(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    )
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
