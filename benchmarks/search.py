"""The index of `gristmill search`: what building costs, and how fast and right it answers.

    python -m benchmarks.search --rows 1000000 --size 384

Vectors lie around 10,000 random centres, `--spread` times as far from them as these from 0, in
parts of 5,000 rows; queries are further ones of the same kind. Recall is the share of the ten
nearest, found by comparing with each, that it finds.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from actors.nlp.text_embedding import TextEmbedding
from pipelines import index as module
from pipelines.index import Index, load_faiss, open_index
from pipelines.lock import Lock
from pipelines.parts import Footer, place
from pipelines.store import Store
from pipelines.vectors import VectorColumn

PART, CENTRES, QUERIES, TOP = 5_000, 10_000, 200, 10
SAID = {"task": "text-embedding", "version": 1, "model": "x", "revision": "x", "options": {}}


def vectors(rows: int, size: int, seed: int, spread: float) -> np.ndarray:
    chance = np.random.default_rng(0)
    centres = chance.standard_normal((CENTRES, size), dtype=np.float32)
    chance = np.random.default_rng(seed)
    made = centres[chance.integers(0, CENTRES, rows)]
    made = made + spread * chance.standard_normal((rows, size), dtype=np.float32)
    unit: np.ndarray = made / np.linalg.norm(made, axis=1, keepdims=True)
    return unit


def write_part(store: Store, number: int, made: np.ndarray) -> None:
    cells = pa.ListArray.from_arrays(
        np.arange(len(made) + 1, dtype=np.int32) * made.shape[1], made.ravel()
    )
    keys = {"_source": ["corpus"] * len(made), "_row": np.arange(len(made)) + number * PART}
    footer = Footer(f"u{number:06}", 0, "run", len(made), 0, (), "f")
    with Lock(store, "run").held():
        place(store, pa.table({**keys, "embedding": cells}), pa.table({}), footer)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def exact(rows: int, size: int, spread: float, queries: np.ndarray) -> list[set[int]]:
    """The TOP nearest rows of each query, by comparing with each row, block by block."""
    scores = np.zeros((len(queries), 0), np.float32)
    numbers = np.zeros((len(queries), 0), np.int64)
    for part in range(rows // PART):
        found = queries @ vectors(PART, size, part + 1, spread).T
        here = np.arange(PART) + part * PART
        scores = np.concatenate([scores, found], axis=1)
        numbers = np.concatenate([numbers, np.broadcast_to(here, found.shape)], axis=1)
        best = np.argpartition(-scores, TOP, axis=1)[:, :TOP]
        scores = np.take_along_axis(scores, best, 1)
        numbers = np.take_along_axis(numbers, best, 1)
    return [set(row.tolist()) for row in numbers]


def asked(index: Index, queries: np.ndarray) -> tuple[list[set[int]], list[float]]:
    found, took = [], []
    for query in queries:
        start = time.perf_counter()
        hits = index.search(query, TOP)
        took.append(1000 * (time.perf_counter() - start))
        found.append({int(hit.part.split("-")[1][1:]) * PART + hit.row for hit in hits})
    return found, took


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--spread", type=float, default=1.0)
    parser.add_argument("--probes", type=int, nargs="+", default=[module.PROBES])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store.at("out", Path(folder))
        store.prepare()
        for number in range(args.rows // PART):
            write_part(store, number, vectors(PART, args.size, number + 1, args.spread))
        column = VectorColumn("embedding", "text", TextEmbedding(), SAID)
        before, start = peak(), time.perf_counter()
        place_of_index = Path(folder) / "index"
        open_index(store, column, place_of_index, print)
        print(
            f"built in {time.perf_counter() - start:.0f} s, {load_faiss().omp_get_max_threads()}"
            f" threads, peak {peak():.2f} GB (before {before:.2f})"
        )
        size = sum(p.stat().st_size for p in place_of_index.iterdir())
        start = time.perf_counter()
        index = open_index(store, column, place_of_index, print)
        opened = time.perf_counter() - start
        queries = vectors(QUERIES, args.size, 0, args.spread)
        right = exact(args.rows, args.size, args.spread, queries)
        print(f"{len(index.segments)} segments, {size / 2**30:.2f} GB, opened in {opened:.2f} s")
        for probes in args.probes:
            module.PROBES = probes
            asked(index, queries[:20])
            found, took = asked(index, queries)
            recall = np.mean([len(a & b) / TOP for a, b in zip(found, right, strict=True)])
            print(
                f"{probes} lists: a query takes {np.median(took):.1f} ms (median), {max(took):.1f}"
                f" (slowest); recall@{TOP} {recall:.3f}"
            )
        write_part(store, args.rows // PART, queries)
        start = time.perf_counter()
        open_index(store, column, place_of_index, print)
        print(f"added in {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
