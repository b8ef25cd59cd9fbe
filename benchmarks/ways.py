"""The ways to do the same work that are compared, each as a command of its own."""

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.dataset as ds
import yaml

from benchmarks.contenders.common import THREADS, model_cpu
from benchmarks.tree import Took, measure

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "benchmarks"
DAFT = CACHE / "daft"
"""An environment for Daft, which needs an older pyarrow (below 26) than Gristmill does."""


@dataclass(frozen=True, slots=True)
class Work:
    """One corpus, one model, and where the answers go; `one` is the same corpus of one row."""

    kind: str
    corpus: Path
    one: Path
    model: Path
    rows: int


@dataclass(frozen=True, slots=True)
class Way:
    """How to run a contender: `command(work, corpus, out)`; `model_cpu(out)` reads its meter."""

    name: str
    command: Callable[[Work, Path, Path], list[str]]
    model_cpu: Callable[[Path], float]
    answers: Callable[[Path], pa.Table]


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured run over the corpus, and one over a single row beside it: the start-up."""

    full: Took
    start: Took
    model_cpu_s: float

    @property
    def work_cpu_s(self) -> float:
        """CPU-seconds without start-up."""
        return self.full.cpu_s - self.start.cpu_s


def ways() -> list[Way]:
    """Return all contenders that are installed, the bare loop first."""
    found = [
        _program("bare loop", "bare"),
        Way("Gristmill", _gristmill, _gristmill_model_cpu, _gristmill_answers),
        _program("pipeline, batch 1", "pipeline", 1),
        _program("pipeline, batch 32", "pipeline", 32),
        _program("Ray Data", "ray_data"),
    ]
    python = DAFT / "bin" / "python"
    return [*found, _program("Daft", "daft_udf", python=str(python))] if python.exists() else found


def _program(name: str, module: str, batch: int = 32, python: str = sys.executable) -> Way:
    def command(work: Work, corpus: Path, out: Path) -> list[str]:
        program = [python, "-m", f"benchmarks.contenders.{module}", "--batch", str(batch)]
        return [*program, work.kind, str(corpus), str(work.model), str(out)]

    return Way(name, command, model_cpu, _answers)


def _gristmill(work: Work, corpus: Path, out: Path) -> list[str]:
    text = {"task": "text-classification", "model": str(work.model)}
    images = {"task": "benchmarks.stages:ImageClassifier", "options": {"weights": str(work.model)}}
    pipeline = {
        "name": "benchmark",
        "source": {"kind": "parquet" if work.kind == "text" else "images", "path": str(corpus)},
        "stages": [text if work.kind == "text" else images],
        "sink": {"kind": "parquet", "path": str(out)},
    }
    file = out.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(pipeline))
    return [sys.executable, "-m", "jobs.cli", "run", str(file)]


def _gristmill_model_cpu(out: Path) -> float:
    (record,) = (out / "_gristmill" / "runs").iterdir()
    steps = json.loads(record.read_text())["steps"].values()
    return float(sum(step["infer_cpu"] for step in steps))


def _gristmill_answers(out: Path) -> pa.Table:
    table = ds.dataset(out / "data").to_table()
    key = "_row" if table["_source"][0].as_py().endswith(".parquet") else "_source"
    return _sorted(table.rename_columns({key: "id"}))


def _answers(out: Path) -> pa.Table:
    files = [str(path) for path in out.rglob("*.parquet")]
    return _sorted(ds.dataset(files).to_table())


def _sorted(table: pa.Table) -> pa.Table:
    return table.select(["id", "label", "score"]).sort_by("id")


def sample(way: Way, work: Work, folder: Path) -> tuple[Sample, pa.Table]:
    """Run a contender on one row and on all. Raises RuntimeError when it fails or leaves rows out.

    The folder of the outputs must be new.
    """
    folder.mkdir(parents=True)
    start = _run(way, work, work.one, folder / "one")
    full = _run(way, work, work.corpus, folder / "full")
    answers = way.answers(folder / "full")
    if answers.num_rows != work.rows:
        raise RuntimeError(f"{way.name} answered {answers.num_rows} of {work.rows} rows")
    return Sample(full, start, way.model_cpu(folder / "full")), answers


def _run(way: Way, work: Work, corpus: Path, out: Path) -> Took:
    took = measure(way.command(work, corpus, out), environment(), ROOT)
    if took.code:
        raise RuntimeError(f"{way.name} failed with code {took.code}:\n{took.output[-2000:]}")
    return took


def environment() -> dict[str, str]:
    """Return the environment of every contender: the same threads, no network, no bars."""
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": str(THREADS),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "TQDM_DISABLE": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "DO_NOT_TRACK": "1",
    }


def middle(samples: list[Sample], value: Callable[[Sample], float]) -> float:
    """Return the median of a figure over repeated runs."""
    return median(map(value, samples))


def make_daft_environment() -> None:
    """Install Daft beside a link to everything that is installed here, its own pyarrow first."""
    if (DAFT / "bin" / "python").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(DAFT)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(DAFT / "bin" / "python")]
    subprocess.run([*pip, "install", "--quiet", "daft>=0.7"], check=True)
    (site,) = DAFT.glob("lib/python*/site-packages")
    here = importlib.metadata.distribution("torch").locate_file("")
    (site / "shared.pth").write_text(f"{here}\n")
