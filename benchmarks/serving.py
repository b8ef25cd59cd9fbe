"""A service beside the bare model loop: milliseconds a request, and rows a second.

    OMP_NUM_THREADS=1 python -m benchmarks.serving --seconds 8

The pipeline is one stage, text-embedding with the embedded MiniLM, on one replica with one thread.
Each client sends one row of 12 to 60 words, waits for its answer, and sends the next. The bare loop
is the same worker in this process, without HTTP, Ray or Serve: given one row at a time, and 64. It
is measured anew before each number of clients, because what else the machine does changes.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np

from actors.models.embedded import prepare
from actors.nlp.text_embedding import TextEmbedding
from actors.stage import ModelFiles
from actors.worker import Worker
from tests.service import free_port

CLIENTS = (1, 8, 64)
PIPELINE = {
    "name": "embedding",
    "source": {"kind": "jsonl", "path": "none/", "columns": {"text": "string"}},
    "stages": [{"task": "text-embedding"}],
    "models": "embedded",
    "sink": {"kind": "parquet", "path": "out"},
}
WORDS = ["the", "of", "river", "report", "people", "market", "found", "early", "under"]


def texts(count: int, seed: int) -> list[str]:
    dice = random.Random(seed)
    return [" ".join(dice.choices(WORDS, k=dice.randint(12, 60))) for _ in range(count)]


def bare(cache: Path, seconds: float, together: int) -> list[float]:
    """Seconds of each call of the worker with so many rows, for about so long."""
    worker = Worker(TextEmbedding(), ModelFiles(prepare("all-minilm-l6-v2", cache)))
    rows = [{"text": text} for text in texts(4096, together)]
    worker.answer(rows[:together])
    took, stop, place = [], time.perf_counter() + seconds, 0
    while time.perf_counter() < stop:
        start = time.perf_counter()
        worker.answer(rows[place : place + together])
        took.append(time.perf_counter() - start)
        place = (place + together) % (len(rows) - together)
    return took


async def asked(url: str, clients: int, seconds: float) -> list[float]:
    """Seconds of each request of so many clients, for about so long."""
    took: list[float] = []

    async def client(number: int, stop: float, link: httpx2.AsyncClient) -> None:
        for text in texts(100_000 // clients, number):
            if (start := time.perf_counter()) > stop:
                return
            answer = await link.post(f"{url}/rows", json={"rows": [{"text": text}]})
            assert answer.json()["rows"][0]["reject"] is None
            took.append(time.perf_counter() - start)

    async with httpx2.AsyncClient(timeout=60) as link:
        await client(0, time.perf_counter() + 1, link)
        took.clear()
        stop = time.perf_counter() + seconds
        await asyncio.gather(*(client(n, stop, link) for n in range(clients)))
    return took


def row(name: str, took: list[float], seconds: float, rows: int = 1) -> str:
    half, most = (1000 * float(np.quantile(took, q)) for q in (0.5, 0.99))
    return f"| {name} | {half:.1f} | {most:.1f} | {len(took) * rows / seconds:.0f} |"


def lines_of(url: str, cache: Path, seconds: float) -> Iterator[str]:
    """The table's rows, in the order in which they are measured."""
    for clients in CLIENTS:
        for together in (1, 64):
            took = bare(cache, seconds, together)
            yield row(f"bare loop, {together} at a time", took, sum(took), together)
        took = asyncio.run(asked(url, clients, seconds))
        yield row(f"**service, {clients} clients**", took, seconds)


@contextlib.contextmanager
def served() -> Iterator[str]:
    """Where a service of our own answers."""
    with tempfile.TemporaryDirectory() as folder:
        file, port = Path(folder, "p.yaml"), free_port()
        file.write_text(json.dumps(PIPELINE))
        command = [sys.executable, "-m", "jobs.cli", "serve", str(file), "--port", str(port)]
        process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()
            process.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    seconds = parser.parse_args().seconds
    cache = Path(os.environ.get("GRISTMILL_CACHE", "~/.cache/gristmill")).expanduser()
    lines = ["| what | p50, ms | p99, ms | rows/s |", "| --- | ---: | ---: | ---: |"]
    with served() as url:
        lines += lines_of(url, cache, seconds)
    print("\n".join(lines))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\n{os.cpu_count()} cores; load over 1, 5, 15 minutes at the end: {load}")


if __name__ == "__main__":
    main()
