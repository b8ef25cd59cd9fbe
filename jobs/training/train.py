"""`gristmill train`: fits a model as a file says, measures it, and puts its folder in place."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from actors.architecture import is_text_encoder, why_not
from actors.errors import UsageError, nearest
from actors.models.embedded import PREFIX
from actors.models.folder import content_hash
from actors.models.reference import config_of, fetch, resolve
from actors.tables.training import EncoderChoice, Report, Settings
from actors.tables.training import train as fit
from jobs.training.pictures import print_pictures, train_pictures
from jobs.training.placing import Place, put
from pipelines.file import checked, override
from pipelines.file import read as read_file
from pipelines.picture_training import PictureTraining
from pipelines.training import TableRead, TableTraining, check_model, goal_of, read_table

ENCODER = PREFIX + "all-minilm-l6-v2"
"""The text encoder when the file names none: it needs no hub."""


Training = TableTraining | PictureTraining
"""A training file of any kind."""


def load(path: Path, settings: Sequence[str] = ()) -> Training:
    """Read and check a training file; `settings` are `a.b=value` overrides. Raises UsageError."""
    data = read_file(path)
    if not isinstance(data, dict):
        raise UsageError(f"{path.name}: a training file is a mapping with task, source and output.")
    if "stages" in data and "task" not in data:
        raise UsageError(f"{path.name}: this looks like a pipeline:  gristmill run {path.name}")
    for setting in settings:
        override(data, setting)
    task = data.get("task")
    if task not in TASKS:
        said = f"there is no training for {task!r}{nearest(str(task), TASKS)}" if task else ""
        raise UsageError(
            f"{path.name}: {said or 'the file does not say its task'}.\n"
            f"  tasks that can be trained: {', '.join(TASKS)}"
        )
    return checked(TASKS[task][0], data, path.name)


def train(training: Training, file: Path, cache: Path, fresh: bool = False) -> dict[str, Any]:
    """Train as a file asks; returns the report. `cache` is the folder of the embedded models.

    Raises UsageError, RunFailed when an embedded model or the source fails, and SinkFailed when
    the folder cannot be written.
    """
    try:
        return TASKS[training.task][1](training, Place(file, cache, fresh))
    except UsageError as error:
        raise UsageError(f"{file.name}: {error}") from None


def train_table(training: TableTraining, place: Place) -> dict[str, Any]:
    """Train a model of tables: read, fit beside the output, and swap it in by a rename."""
    output = place.output(training.output)
    check_model(training)
    read = read_table(training, place.base)
    settings = Settings(
        goal=goal_of(training),
        target=training.target,
        model=training.model,
        features=training.kinds,
        test=training.split.test,
        seed=training.split.seed,
        threads=training.threads or len(os.sched_getaffinity(0)),
        encoder=_encoder(training, place),
    )
    trained = fit(read.table, settings)
    put(trained.save, output)
    return _said(training, trained.report, read, output)


def _encoder(training: TableTraining, place: Place) -> EncoderChoice | None:
    """The text encoder on this machine, if the model reads texts."""
    if training.model != "text-and-table":
        return None
    ref = resolve(training.encoder or ENCODER, None, place.base)
    name = str(ref.folder) if ref.folder else ref.name
    folder = fetch(ref, place.cache)
    config = config_of(ref, place.cache) or {}
    if not is_text_encoder(config):
        raise UsageError(why_not("encoder:", "a text encoder (such as BertModel)", config))
    return EncoderChoice(name, ref.revision, folder)


def _said(training: TableTraining, report: Report, read: TableRead, output: Path) -> dict[str, Any]:
    """The report as --json prints it."""
    return {
        "task": training.task,
        "model": training.model,
        "target": training.target,
        "output": str(output),
        "revision": content_hash(output),
        "rows": report.rows,
        "rows left out": {**read.rows_left_out, **report.dropped},
        "rows with truncated texts": report.truncated,
        "features": report.features,
        "columns left out": {**read.columns_left_out, **report.left_out},
        "metrics": report.metrics,
        "baseline": report.baseline,
        "seconds": round(report.seconds, 3),
    }


def print_report(report: dict[str, Any]) -> None:
    """The report for people, on stderr."""
    TASKS[report["task"]][2](report)


def print_table(report: dict[str, Any]) -> None:
    """The report of a model of tables, on stderr."""
    rows = report["rows"]
    baseline = "mean" if "MAE" in report["metrics"] else "shares"
    lines = [
        f"{report['task']} of '{report['target']}' by {report['model']}: learned from "
        f"{rows['train']:,} rows, measured on {rows['test']:,} others",
        f"  features          {', '.join(f'{n} ({k})' for n, k in report['features'].items())}",
        *(f"  column left out   {name}: {why}" for name, why in report["columns left out"].items()),
        *(f"  rows left out     {n:,}: {why}" for why, n in report["rows left out"].items()),
    ]
    if report["rows with truncated texts"]:
        lines.append(f"  texts cut short   in {report['rows with truncated texts']:,} rows")
    lines.append(f"  {'':17} {'model':>10} {BASELINES[baseline]:>22}")
    for name, value in report["metrics"].items():
        lines.append(f"  {name:17} {value:10.4g} {report['baseline'][name]:22.4g}")
    lines += [
        f"written to {report['output']}; to use it:",
        f"  stages: [{{task: {report['task']}, model: {report['output']}}}]",
    ]
    print("\n".join(lines), file=sys.stderr)


BASELINES = {"mean": "always the mean", "shares": "the commonest class"}
"""What the model is compared with."""

Trainer = Callable[[Any, Place], dict[str, Any]]
Printer = Callable[[dict[str, Any]], None]

TASKS: dict[str, tuple[type[TableTraining] | type[PictureTraining], Trainer, Printer]] = {
    "anomaly-detection": (PictureTraining, train_pictures, print_pictures),
    "tabular-classification": (TableTraining, train_table, print_table),
    "tabular-regression": (TableTraining, train_table, print_table),
}
"""The tasks that can be trained: what their file says, what trains them, what prints the report."""
