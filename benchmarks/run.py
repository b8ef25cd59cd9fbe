"""Measures Gristmill beside other ways to do the same work, in one run.

python -m benchmarks.run --texts 5000 --images 1000 --repeat 3 --write
python -m benchmarks.run --texts 200 --images 0 --rows 0 --only "bare loop" Gristmill
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa

from benchmarks import report
from benchmarks.corpus import texts, write_images, write_texts
from benchmarks.memory import grow
from benchmarks.models import make_image_model, make_text_model
from benchmarks.tree import measure
from benchmarks.ways import (
    CACHE,
    ROOT,
    Sample,
    Way,
    Work,
    environment,
    make_daft_environment,
    sample,
    ways,
)

HELP_RUNS = 5
TOLERANCE = 1e-4
"""Scores of one text by different batches: float32 sums in another order."""


def main() -> None:
    options = _options()
    os.environ["OMP_NUM_THREADS"] = "1"
    if options.daft:
        make_daft_environment()
    page = report.INTRODUCTION + report.machine(options.repeat)
    with tempfile.TemporaryDirectory(dir=_made(CACHE), prefix="runs-") as name:
        folder = Path(name)
        for work in _works(options.texts, options.images):
            samples = compare(_chosen(options.only), work, options.repeat, folder / work.kind)
            page += report.table(work, samples)
            page += report.roles(samples) if "Gristmill" in samples else ""
        if options.rows:
            page += report.memory(grow(folder / "memory", options.rows))
    page += report.help_time(help_seconds())
    print(page)
    if options.write:
        (ROOT / "benchmarks" / "README.md").write_text(page)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=5_000, help="texts to classify; 0: none")
    parser.add_argument("--images", type=int, default=1_000, help="JPEGs to classify; 0: none")
    parser.add_argument("--rows", type=int, default=200_000, help="rows of the memory run; 0: none")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each; medians are shown")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="contenders by name")
    parser.add_argument(
        "--no-daft", dest="daft", action="store_false", help="do not install or run Daft"
    )
    parser.add_argument("--write", action="store_true", help="write benchmarks/README.md")
    return parser.parse_args()


def _chosen(only: Sequence[str] | None) -> list[Way]:
    return [way for way in ways() if only is None or way.name in only]


def _works(text_count: int, image_count: int) -> list[Work]:
    """Make, or find again, the corpora and models that are asked for."""
    found = []
    if text_count:
        model, corpus = CACHE / "text-model", CACHE / f"texts-{text_count}.parquet"
        if not model.exists():
            make_text_model(model, texts(20_000, seed=1))
        write_texts(corpus, text_count)
        write_texts(CACHE / "one.parquet", 1)
        found.append(Work("text", corpus, CACHE / "one.parquet", model, text_count))
    if image_count:
        model, folder = CACHE / "image-model", CACHE / f"images-{image_count}"
        if not model.exists():
            make_image_model(model)
        write_images(folder, image_count)
        write_images(CACHE / "one-image", 1)
        found.append(Work("images", folder, CACHE / "one-image", model, image_count))
    return found


def compare(chosen: list[Way], work: Work, repeat: int, folder: Path) -> dict[str, list[Sample]]:
    """Let the contenders take turns. Raises RuntimeError when one fails or answers otherwise."""
    samples: dict[str, list[Sample]] = {way.name: [] for way in chosen}
    truth: pa.Table | None = None
    for turn in range(repeat):
        for way in chosen:
            found, answers = sample(way, work, folder / f"{turn}-{way.name}")
            truth = truth or answers
            if work.kind == "text":
                check_alike(way.name, answers, truth)
            samples[way.name].append(found)
            print(_line(work, way, found), flush=True)
            shutil.rmtree(folder)
    return samples


def _line(work: Work, way: Way, found: Sample) -> str:
    """Say what came of one run at once: the whole takes long."""
    figures = (f"{name} {value(found):.1f}" for name, value in report.COLUMNS.items())
    return f"{work.kind}, {way.name}: {', '.join(figures)}"


def check_alike(name: str, answers: pa.Table, truth: pa.Table) -> None:
    """Raise RuntimeError if two tables (id, label, score) differ by more than TOLERANCE."""
    gap = np.abs(answers["score"].to_numpy() - truth["score"].to_numpy()).max()
    if gap > TOLERANCE or answers["id"].to_pylist() != truth["id"].to_pylist():
        raise RuntimeError(f"{name} answers differ from the bare loop's: scores by {gap:.1e}")


def help_seconds() -> float:
    """Return the median wall time of `gristmill --help`."""
    command = [sys.executable, "-m", "jobs.cli", "--help"]
    return median(measure(command, environment(), ROOT).wall_s for _ in range(HELP_RUNS))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    main()
