"""Rows per CPU-second of single tasks: the worker, the bare loop, and transformers.pipeline.

Each way is a process of its own that loads the model, answers one row, and is then measured on the
whole corpus: CPU-seconds of all its threads, decoding and tokenizing included. Answers must be the
same, or there is no table.

    python -m benchmarks.tasks --repeat 3 --write
    python -m benchmarks.tasks --only encoder ctc
"""

import argparse
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import report, works
from benchmarks.ways import CACHE, ROOT, environment

WAYS = ("bare loop", "Gristmill", "pipeline, batch 32", "pipeline, batch 1")
PAGE = """\
# Single tasks beside the bare loop and transformers.pipeline

Written by `python -m benchmarks.tasks --write`; no number here is typed by hand.

Rows per CPU-second, one thread, start-up apart; medians. **Bare loop**: the model called directly
on rows sorted by cost and cut by the same budget. **Gristmill**: the worker on the same rows.
transformers 5 has no pipeline for summarization. Answers were compared and are alike, but for
`pipeline` on speech: with CTC it also spells the padding of a batch, which a random model does not
take for silence; Whisper in batches of it wrote other texts.
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """CPU-seconds over the corpus, and the answers."""

    cpu_s: float
    answers: list[Any]


def main() -> None:
    options = _options()
    os.environ["OMP_NUM_THREADS"] = "1"
    if options.way:
        print(json.dumps(_run_here(options.only[0], options.way)))
        return
    page = PAGE + report.machine(options.repeat)
    page += "\n| work | rows | " + " | ".join(WAYS) + " | / bare loop | / batch 32 |\n"
    page += "|---|---:|" + "---:|" * (len(WAYS) + 2) + "\n"
    for name in options.only:
        page += compare(name, options.repeat)
        print(page.splitlines()[-1], flush=True)
    page += "\nGoals: within 1.1 times the bare loop's CPU (at least 0.91 here), and on encoders at"
    page += " least 2 times `pipeline` batch 32.\n"
    print(page)
    if options.write:
        (ROOT / "benchmarks" / "TASKS.md").write_text(page)


def _options() -> argparse.Namespace:
    known = [module.name for module in pkgutil.iter_modules(works.__path__)]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=known, default=known, help="which works")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each; medians are shown")
    parser.add_argument("--write", action="store_true", help="write benchmarks/TASKS.md")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args()


def compare(name: str, repeat: int) -> str:
    """Let the ways take turns; return a line of the table.

    Raises RuntimeError when answers differ.
    """
    work = importlib.import_module(f"benchmarks.works.{name}")
    ways = [way for way in WAYS if "pipeline" not in way or work.pipeline is not None]
    took: dict[str, list[float]] = {way: [] for way in ways}
    truth: list[Any] = []
    for _ in range(repeat):
        for way in ways:
            ran = _run(name, way)
            truth = truth or ran.answers
            if "pipeline" not in way or work.LIKE_PIPELINE:
                check_alike(f"{name}, {way}", ran.answers, truth, work.ALIKE)
            took[way].append(ran.cpu_s)
    speed = {way: work.COUNT / median(seconds) for way, seconds in took.items()}
    cells = [f"{speed[way]:.2f}" if way in speed else "-" for way in WAYS]
    ours, batched = speed["Gristmill"], speed.get("pipeline, batch 32")
    cells += [f"{ours / speed['bare loop']:.2f}", f"{ours / batched:.2f}" if batched else "-"]
    about = (work.__doc__ or "").strip().partition("\n")[0].rstrip(".")
    return f"| {about} | {work.COUNT} | {' | '.join(cells)} |\n"


def check_alike(name: str, answers: list[Any], truth: list[Any], share: float) -> None:
    """Raise RuntimeError if less than this share of the answers are the same."""
    same = sum(a == b for a, b in zip(answers, truth, strict=True))
    if same < share * len(truth):
        raise RuntimeError(f"{name}: only {same} of {len(truth)} answers are the bare loop's")


def _run(name: str, way: str) -> Ran:
    """Run one way in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.tasks", "--only", name, "--way", way]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name}, {way} failed:\n{done.stderr[-2000:]}")
    return Ran(**json.loads(done.stdout.splitlines()[-1]))


def _run_here(name: str, way: str) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    work = importlib.import_module(f"benchmarks.works.{name}")
    folder = CACHE / f"{name}-model"
    if not folder.exists():
        work.make(folder)
    answer = _way(work, folder, way)
    rows = work.rows(work.COUNT)
    answer(rows[:1])  # whatever is imported or opened for the first time is nobody's work
    _, start = _measured(lambda: answer(rows[:1]))
    answers, cpu = _measured(lambda: answer(rows))
    return {"cpu_s": cpu - start, "answers": answers}


def _way(work: Any, folder: Path, way: str) -> Callable[[list[dict[str, Any]]], list[Any]]:
    """Return what answers rows; all but Gristmill load their model with each call."""
    if way == "bare loop":
        return lambda rows: list(work.bare(folder, rows))
    if way != "Gristmill":
        batch = int(way.split()[-1])
        return lambda rows: list(work.pipeline(folder, rows, batch))
    from actors.catalog import stage_class
    from actors.stage import ModelFiles
    from actors.worker import Worker

    task, options = work.STAGE
    worker = Worker(stage_class(task)(**options), ModelFiles(folder))
    return lambda rows: [work.answer_of(answer) for answer in worker.answer(rows)]


def _measured(call: Callable[[], list[Any]]) -> tuple[list[Any], float]:
    start = time.process_time()
    answers = call()
    return answers, time.process_time() - start


if __name__ == "__main__":
    main()
