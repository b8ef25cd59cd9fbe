"""How right the tasks are with embedded models on real data: every module here that measures it.

Each prints its own lines; together they are QUALITY.md, which is kept in the repository.

    OMP_NUM_THREADS=1 python -m benchmarks.quality --write
"""

import argparse
import importlib
import pkgutil
import subprocess
import sys

import benchmarks
from benchmarks import report
from benchmarks.ways import ROOT, environment

INTRODUCTION = """\
# How right the tasks are with the embedded models

Written by `make quality`; no number here is typed by hand. The data is real where it says so, and
small: these figures show that the models work as they should here, not how models of their kind do
in general.
"""


def main() -> None:
    options = _options()
    page = INTRODUCTION + report.machine(1)
    for name in options.only:
        page += section(name)
        print(page.rpartition("\n## ")[2], flush=True)
    if options.write:
        (ROOT / "benchmarks" / "QUALITY.md").write_text(page)


def known() -> list[str]:
    """The modules that measure quality: of pages (ocr), and quality_*."""
    found = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]
    return ["ocr", *(name for name in found if name.startswith("quality_"))]


def section(name: str) -> str:
    """Run one module; return its part of the page. Raises RuntimeError when it fails."""
    about = importlib.import_module(f"benchmarks.{name}").__doc__ or ""
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"benchmarks.{name} failed:\n{done.stderr[-2000:]}")
    told, _, _ = about.partition("\n\n    OMP_NUM_THREADS")
    title, _, rest = told.partition("\n\n")
    lines = "\n".join(line.rstrip() for line in done.stdout.splitlines())
    return f"\n## {title.rstrip('.')}\n\n{rest.strip()}\n\n```\n{lines.strip()}\n```\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=known(), default=known(), help="which")
    parser.add_argument("--write", action="store_true", help="write benchmarks/QUALITY.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
