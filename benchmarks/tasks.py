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
from benchmarks.ways import CACHE, DAFT, ROOT, environment

WAYS = ("bare loop", "Gristmill", "pipeline, batch 32", "pipeline, batch 1", "Daft")
PAGE = """\
# Single tasks beside the bare loop and transformers.pipeline

Written by `python -m benchmarks.tasks --write`; no number here is typed by hand.

Rows per CPU-second, one thread, start-up apart; medians. **Bare loop**: the model called directly
on rows sorted by cost and cut by the same budget. **Gristmill**: the worker on the same rows.
transformers 5 has no pipeline for summarization. Answers were compared and are alike, but for
`pipeline` on speech: with CTC it also spells the padding of a batch, which a random model does not
take for silence; Whisper in batches of it wrote other texts; photos it decodes in full. Daft's own
decoder gives other levels of JPEGs than Pillow's: its answers were not compared.
"""
PREPARATION = """
## Preparing pictures

CPU-milliseconds per picture outside the model's forward: reading the file, decoding, resizing,
normalising, and what surrounds the model. Gristmill and the bare loop decode large JPEGs at a part
of their size.

"""


@dataclass(frozen=True, slots=True)
class Ran:
    """CPU-seconds over the corpus, those of the model's forward, and the answers."""

    cpu_s: float
    model_s: float
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
    prepared = ""
    for name in options.only:
        line, preparation = compare(name, options.repeat)
        page, prepared = page + line, prepared + preparation
        print(line + preparation, end="", flush=True)
    page += "\nGoals: within 1.1 times the bare loop's CPU (at least 0.91 here), and on encoders at"
    page += " least 2 times `pipeline` batch 32.\n"
    if prepared:
        page += PREPARATION + "| work | " + " | ".join(WAYS) + " | batch 32 / Gristmill |\n"
        page += "|---|" + "---:|" * (len(WAYS) + 1) + "\n" + prepared
        page += "\nGoal: at most 1 / 1.7 of `pipeline`'s.\n"
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


def compare(name: str, repeat: int) -> tuple[str, str]:
    """Let the ways take turns; return a line of each table, the second empty where no model's
    forward is told from the rest.

    Raises RuntimeError when answers differ.
    """
    work = importlib.import_module(f"benchmarks.works.{name}")
    ways = [way for way in WAYS if _is_there(work, way)]
    took: dict[str, list[Ran]] = {way: [] for way in ways}
    truth: list[Any] = []
    for _ in range(repeat):
        for way in ways:
            ran = _run(name, way)
            truth = truth or ran.answers
            if way in ("bare loop", "Gristmill") or ("pipeline" in way and work.LIKE_PIPELINE):
                check_alike(f"{name}, {way}", ran.answers, truth, work.ALIKE)
            took[way].append(ran)
    speed = {way: work.COUNT / median(ran.cpu_s for ran in runs) for way, runs in took.items()}
    cells = [f"{speed[way]:.2f}" if way in speed else "-" for way in WAYS]
    ours, batched = speed["Gristmill"], speed.get("pipeline, batch 32")
    cells += [f"{ours / speed['bare loop']:.2f}", f"{ours / batched:.2f}" if batched else "-"]
    about = (work.__doc__ or "").strip().partition("\n")[0].rstrip(".")
    line = f"| {about} | {work.COUNT} | {' | '.join(cells)} |\n"
    return line, _preparation(about, work, took) if hasattr(work, "MODEL") else ""


def _preparation(about: str, work: Any, took: dict[str, list[Ran]]) -> str:
    """Return a line of the second table: milliseconds per row outside the model's forward."""
    spent = {
        way: 1_000 / work.COUNT * median(ran.cpu_s - ran.model_s for ran in runs)
        for way, runs in took.items()
    }
    cells = [f"{spent[way]:.2f}" if way in spent else "-" for way in WAYS]
    ratio = spent["pipeline, batch 32"] / spent["Gristmill"]
    return f"| {about} | {' | '.join(cells)} | {ratio:.2f} |\n"


def _is_there(work: Any, way: str) -> bool:
    """Whether a way exists for this work, and what it needs is installed."""
    if way == "Daft":
        return hasattr(work, "daft") and _python(way) != sys.executable
    return "pipeline" not in way or work.pipeline is not None


def _python(way: str) -> str:
    """Return the Python that a way runs with: Daft's is an environment of its own."""
    python = DAFT / "bin" / "python"
    return str(python) if way == "Daft" and python.exists() else sys.executable


def check_alike(name: str, answers: list[Any], truth: list[Any], share: float) -> None:
    """Raise RuntimeError if less than this share of the answers are the same."""
    same = sum(a == b for a, b in zip(answers, truth, strict=True))
    if same < share * len(truth):
        raise RuntimeError(f"{name}: only {same} of {len(truth)} answers are the bare loop's")


def _run(name: str, way: str) -> Ran:
    """Run one way in a process of its own."""
    command = [_python(way), "-m", "benchmarks.tasks", "--only", name, "--way", way]
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
    forward = _metered(work.MODEL) if hasattr(work, "MODEL") else [0.0]
    _, start = _measured(lambda: answer(rows[:1]))
    before = sum(forward)
    answers, cpu = _measured(lambda: answer(rows))
    model = sum(forward) - 2 * before  # one row's is taken off with the start
    return {"cpu_s": cpu - start, "model_s": model, "answers": answers}


def _metered(kind: Any) -> list[float]:
    """Return a list that the CPU-seconds of every forward of this class will be added to."""
    forward, took = kind.forward, [0.0]

    def timed(*given: Any, **named: Any) -> Any:
        start = time.thread_time()
        found = forward(*given, **named)
        took.append(time.thread_time() - start)
        return found

    kind.forward = timed
    return took


def _way(work: Any, folder: Path, way: str) -> Callable[[list[dict[str, Any]]], list[Any]]:
    """Return what answers rows; all but Gristmill load their model with each call."""
    if way == "bare loop":
        return lambda rows: list(work.bare(folder, rows))
    if way == "Daft":
        return lambda rows: list(work.daft(folder, rows))
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
