"""Trains on good pictures, so that others can be told from them."""

import os
import sys
from typing import Any

from actors.errors import UsageError
from actors.models.folder import content_hash
from actors.models.reference import config_of, fetch, resolve
from actors.seeing.backbones import why_no_patches
from actors.seeing.inspection import side_of
from jobs.training.placing import Place, put
from pipelines.picture_training import PictureTraining, parts_of


def train_pictures(training: PictureTraining, place: Place) -> dict[str, Any]:
    """Train a detector of anomalies: look at the good pictures twice, once to learn from them and
    once to set the threshold by comparing each part of them with the others."""
    output = place.output(training.output)
    ref = resolve(training.model, training.revision, place.base)
    folder = fetch(ref, place.cache)
    config = config_of(ref, place.cache) or {}
    problem = why_no_patches("model:", config)
    if problem:
        raise UsageError(problem)
    side = side_of(config, training.side)
    parts = parts_of(training, place.base)
    from actors.seeing.anomalies import BackboneChoice, Settings, train

    settings = Settings(
        backbone=BackboneChoice(str(ref.folder or ref.name), ref.revision, folder),
        side=side,
        vectors=training.vectors,
        false_alarms=training.false_alarms,
        seed=training.split.seed,
        threads=training.threads or len(os.sched_getaffinity(0)),
    )
    trained = train(parts, settings)
    put(trained.save, output)
    report = trained.report
    return {
        "task": training.task,
        "model": training.model,
        "output": str(output),
        "revision": content_hash(output),
        "side": side,
        "pictures": report.pictures,
        "parts": report.parts,
        "pictures left out": report.left_out,
        "places": report.patches,
        "vectors": report.vectors,
        "threshold": report.threshold,
        "distances": dict(zip(("lowest", "median", "highest"), report.distances, strict=True)),
        "seconds": round(report.seconds, 3),
    }


def print_pictures(report: dict[str, Any]) -> None:
    """The report for people, on stderr."""
    far = report["distances"]
    lines = [
        f"{report['task']} by {report['model']}: learned from {report['pictures']:,} pictures,"
        f" the threshold set by comparing each of {report['parts']} parts with the others",
        *(f"  left out    {n:,}: {why}" for why, n in report["pictures left out"].items()),
        f"  places      {report['places']:,} seen, {report['vectors']:,} kept",
        f"  threshold   {report['threshold']:.4g}; of the good pictures the lowest"
        f" {far['lowest']:.4g}, median {far['median']:.4g}, highest {far['highest']:.4g}",
        f"written to {report['output']}; to use it:",
        f"  stages: [{{task: {report['task']}, model: {report['output']}}}]",
    ]
    print("\n".join(lines), file=sys.stderr)
