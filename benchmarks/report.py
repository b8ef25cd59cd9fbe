"""The figures as Markdown. Every number comes from a run; none is typed."""

import platform
import subprocess
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

from benchmarks.contenders.common import THREADS
from benchmarks.memory import Growth
from benchmarks.ways import DAFT, ROOT, Sample, Work, middle

NEEDED = ("Gristmill", "bare loop", "pipeline, batch 32", "pipeline, batch 1")
"""Without these contenders there are no ratios."""

PACKAGES = ("ray", "torch", "transformers", "tokenizers", "pyarrow", "pillow")

COLUMNS: Mapping[str, Callable[[Sample], float]] = {
    "model CPU-s": lambda s: s.model_cpu_s,
    "CPU-s": lambda s: s.full.cpu_s,
    "of it start-up": lambda s: s.start.cpu_s,
    "without start-up": lambda s: s.work_cpu_s,
    "wall s": lambda s: s.full.wall_s,
    "start-up wall s": lambda s: s.start.wall_s,
    "peak MiB": lambda s: s.full.peak_mb,
}

INTRODUCTION = f"""\
# What Gristmill costs, beside other ways to do the same work

Written by `python -m benchmarks.run --write`; no number here is typed by hand.

    python -m benchmarks.run --repeat 3 --write      # --help: smaller runs, single contenders

Daft needs an older pyarrow (below 26) than Gristmill: the run makes an environment for it.

- **Text**: texts of made-up words, log-normal in length (median 30 words, 1 % over 300), classified
  by a random BERT of MiniLM-L6's size (22.7 M parameters). **Images**: JPEGs of 640 x 480, by a
  random ViT of 5.5 M parameters.
- Each contender is a process that reads the corpus and writes Parquet, with one copy of its
  model on {THREADS} thread. Gristmill is `gristmill run` on a pipeline file, all of Ray included.
- Texts must be answered alike by all (scores within 1e-4), or there is no table. Images are not
  compared: decoding a JPEG at a smaller scale, as Gristmill and the bare loop do, changes pixels.
- **CPU-s** counts the whole tree of processes, daemons included (`tree.py`); **model CPU-s** is the
  thread's time inside the model's forward. **Start-up** is the same run on a corpus of one row.
- **Bare loop** is the least possible: texts sorted by length, batches cut by the same budget.
- Contenders take turns; each figure is the median of its runs.
"""


def machine(runs: int) -> str:
    """Say on what, with which versions and when in the history this was measured."""
    found = {name: version(name) for name in PACKAGES}
    if DAFT.exists():
        (info,) = DAFT.glob("lib/python*/site-packages/daft-*.dist-info")
        found["daft"] = info.stem.split("-")[1]
    versions = ", ".join(f"{name} {number}" for name, number in found.items())
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"\n{_processor()}, {psutil.cpu_count()} CPUs, {memory:.0f} GiB;"
        f" Python {platform.python_version()}; {versions}; commit {_commit()}; runs: {runs};"
        f" load when it began: {psutil.getloadavg()[0]:.1f}.\n"
    )


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text()
    lines = [line for line in text.splitlines() if line.startswith("model name")]
    return lines[0].partition(":")[2].strip() if lines else platform.machine()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def table(work: Work, samples: Mapping[str, list[Sample]]) -> str:
    """One kind of work, a line per contender, and the two ratios that are aimed at."""
    lines = [f"\n## {work.rows:,} {work.kind if work.kind == 'images' else 'texts'}\n"]
    lines += [f"| | {' | '.join(COLUMNS)} |", "|---|" + "---:|" * len(COLUMNS)]
    for name, found in samples.items():
        values = (f"{middle(found, column):,.1f}" for column in COLUMNS.values())
        lines.append(f"| {name} | {' | '.join(values)} |")
    return "\n".join([*lines, "", *_ratios(work, samples), ""])


def _ratios(work: Work, samples: Mapping[str, list[Sample]]) -> list[str]:
    if not samples.keys() >= set(NEEDED):
        return []
    ours, bare, batched, single = (samples[name] for name in NEEDED)
    # Images of one size gain nothing from sorting, so only texts have a goal there.
    half = 0.5 if work.kind == "text" else None
    return [
        _ratio("Gristmill / pipeline batch 32, model CPU-s", half, ours, batched, "model CPU-s"),
        # Padding can make batches dearer than single rows: then this is the pipeline at its best.
        _ratio("Gristmill / pipeline batch 1, model CPU-s", None, ours, single, "model CPU-s"),
        _ratio(
            "Gristmill / bare loop, CPU-s without start-up", 1.1, ours, bare, "without start-up"
        ),
        _ratio("Gristmill / bare loop, CPU-s in all", 1.1, ours, bare, "CPU-s"),
    ]


def _ratio(
    name: str, goal: float | None, ours: list[Sample], theirs: list[Sample], column: str
) -> str:
    value = middle(ours, COLUMNS[column]) / middle(theirs, COLUMNS[column])
    aim = f" (goal: at most {goal}: {_met(value <= goal)})" if goal is not None else ""
    return f"- {name}: **{value:.2f}**{aim}"


def _met(is_met: bool) -> str:
    return "met" if is_met else "missed"


def roles(samples: Mapping[str, list[Sample]]) -> str:
    """Where Gristmill's CPU time goes, by process."""
    ours = samples["Gristmill"]
    lines = ["Gristmill's CPU-s by process (of it start-up):"]
    for role in sorted({role for s in ours for role in s.full.roles_s}):
        full = median(s.full.roles_s.get(role, 0.0) for s in ours)
        start = median(s.start.roles_s.get(role, 0.0) for s in ours)
        lines.append(f"- {role}: {full:.1f} ({start:.1f})")
    return "\n".join([*lines, ""])


def memory(growth: Growth) -> str:
    """Peaks by role, and how they grow."""
    lines = [
        "\n## Memory as the corpus grows tenfold\n",
        f"| MiB | {growth.rows:,} rows | {10 * growth.rows:,} rows | ratio |",
        "|---|---:|---:|---:|",
    ]
    for role in sorted(growth.large):
        small, large = growth.small.get(role, 0.0), growth.large[role]
        ratio = f"{large / small:.2f}" if small else "-"
        lines.append(f"| {role} | {small:,.0f} | {large:,.0f} | {ratio} |")
    return "\n".join([*lines, ""])


def help_time(seconds: float) -> str:
    """The time of `gristmill --help`."""
    return f"\n## `gristmill --help`\n\n{seconds:.2f} s (goal: under 0.5: {_met(seconds < 0.5)})\n"
