"""Fits a model to a table, measures it on rows that it never saw, and writes its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.errors import UsageError
from actors.stage import Device
from actors.tables import estimators, metrics, stored
from actors.tables.choice import choose, learned, plain
from actors.tables.features import Codes, Feature, Kind
from actors.tables.metrics import Metrics
from actors.tables.target import Goal, Target, known, target_of

ModelName = Literal["gradient-boosting", "linear", "text-and-table"]

FEWEST_ROWS = 10
"""Below this a test set says nothing; even so, a hundred rows are few."""


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """A text encoder, pinned: its name and revision as config.json keeps them, and its folder."""

    name: str
    revision: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """What to learn and how. `features` None takes every column that can be used; a kind None is
    the usual one. `test` is the share of rows held back to measure on."""

    goal: Goal
    target: str
    model: ModelName = "gradient-boosting"
    features: Mapping[str, Kind | None] | None = None
    test: float = 0.2
    seed: int = 0
    threads: int = 1
    encoder: EncoderChoice | None = None


class Predictor(Protocol):
    """A fitted model of any kind."""

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Return probabilities (rows, classes), or a number per row: float64."""
        ...

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the weights into a folder; return what config.json must say of them."""
        ...


@dataclass(frozen=True)
class Report:
    """What came of a training. `dropped` counts rows by reason, `left_out` says why of columns,
    `truncated` counts rows with a text that the encoder saw only the beginning of; `metrics` and
    `baseline` are of the test rows, which the model never saw."""

    rows: dict[str, int]
    dropped: dict[str, int]
    features: dict[str, Kind]
    left_out: dict[str, str]
    metrics: Metrics
    baseline: Metrics
    seconds: float
    truncated: int


@dataclass(frozen=True)
class Trained:
    """A fitted model with all that its folder says of it."""

    predictor: Predictor
    report: Report
    config: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write the model into a folder that is there and empty; config.json goes last."""
        weights = self.predictor.save(folder)
        stored.write_config(folder, self.config | weights)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Coded rows: float64 (rows, coded features and then `texts` columns), and their targets."""

    matrix: np.ndarray
    target: Target
    texts: int
    truncated: int

    def at(self, places: np.ndarray) -> "_Rows":
        """Some of them."""
        target = Target(self.target.values[places], self.target.classes)
        return _Rows(self.matrix[places], target, self.texts, self.truncated)


def train(table: pa.Table, settings: Settings) -> Trained:
    """Fit a model to a share of a table's rows, and measure it on the others.

    Raises UsageError for a table that cannot be learned from.
    """
    start = perf_counter()
    choice = choose(table, settings.target, settings.features, settings.model == "text-and-table")
    places, dropped = _usable(table, settings.target, choice.kinds)
    table = table.take(pa.array(places))
    target = target_of(table, settings.target, settings.goal)
    learning, testing = _split(target, settings)
    features = learned(table.take(learning), choice.kinds)
    codes = Codes(features)
    rows = _coded(table, target, codes, features, settings)
    predictor = _fit(settings, codes, rows.at(learning))
    measured, baseline = _measure(predictor, rows.at(learning), rows.at(testing))
    report = Report(
        rows={"train": len(learning), "test": len(testing)},
        dropped=dropped,
        features=choice.kinds,
        left_out=choice.left_out,
        metrics=measured,
        baseline=baseline,
        seconds=perf_counter() - start,
        truncated=rows.truncated,
    )
    return Trained(predictor, report, _config(settings, features, target, report))


def _coded(
    table: pa.Table, target: Target, codes: Codes, features: Sequence[Feature], settings: Settings
) -> _Rows:
    matrix = codes.matrix(lambda name: plain(table[name]).to_pylist(), table.num_rows)
    texts, cut = _texts(table, features, settings)
    matrix = np.concatenate([matrix, texts], axis=1) if texts.shape[1] else matrix
    return _Rows(matrix, target, texts.shape[1], cut)


def _usable(
    table: pa.Table, target: str, kinds: Mapping[str, Kind]
) -> tuple[list[int], dict[str, int]]:
    """The places of rows with a target and without infinities, and how many others there are."""
    there = known(table, target).to_numpy()
    numbers = [name for name, kind in kinds.items() if kind == "number"]
    finite = np.ones(len(there), dtype=bool)
    for name in numbers:
        values = plain(table[name])
        if pa.types.is_floating(values.type):
            finite &= ~pc.fill_null(pc.is_inf(values), False).to_numpy()
    counts = {"no target": int((~there).sum()), "not finite": int((there & ~finite).sum())}
    places = [int(place) for place in np.flatnonzero(there & finite)]
    if len(places) < FEWEST_ROWS:
        said = ", ".join(f"{why}: {count}" for why, count in counts.items() if count)
        raise UsageError(
            f"{len(places)} rows can be learned from, and {FEWEST_ROWS} are the fewest"
            f" (of {len(there)}{'; ' + said if said else ''})."
        )
    return places, {why: count for why, count in counts.items() if count}


def _split(target: Target, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """The places of the rows to learn from and of those to test on, in the table's order."""
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(target.values))
    tested = round(len(rows) * settings.test)
    least = len(target.classes or "1")
    if tested < least or len(rows) - tested < least:
        raise UsageError(
            f"split: test {settings.test:g} of {len(rows)} rows is {tested}, and both sides need"
            f" {least} at least{' (one per class)' if target.classes else ''}."
        )
    classes = target.values if target.classes else None
    left, right = train_test_split(
        rows, test_size=tested, random_state=settings.seed, stratify=classes
    )
    return np.sort(left), np.sort(right)


def _texts(
    table: pa.Table, features: Sequence[Feature], settings: Settings
) -> tuple[np.ndarray, int]:
    """The text columns' vectors, float32 (rows, width), and the rows whose texts were cut."""
    names = [feature.name for feature in features if feature.kind == "text"]
    if not names:
        return np.empty((table.num_rows, 0), dtype=np.float32), 0
    if settings.encoder is None:
        raise UsageError(f"the texts of {', '.join(names)} need an encoder:  encoder: MODEL")
    from actors.tables.texts import TextPass, vectors_of

    step = TextPass(names, settings.encoder.folder, Device(threads=settings.threads))
    return vectors_of(step, pa.table({n: plain(table[n]) for n in names}).to_pylist())


def _fit(settings: Settings, codes: Codes, rows: _Rows) -> Predictor:
    seed, threads = settings.seed, settings.threads
    if settings.model != "text-and-table":
        return estimators.fit(settings.model, codes, rows.matrix, rows.target, seed, threads)
    from actors.tables import mixed

    return mixed.fit(codes, rows.matrix, rows.texts, rows.target, seed, threads)


def _measure(predictor: Predictor, train: _Rows, test: _Rows) -> tuple[Metrics, Metrics]:
    """The metrics of the model, and of knowing nothing of a row, on the test rows."""
    found, truth, seen = predictor.predict(test.matrix), test.target.values, train.target.values
    if test.target.classes is None:
        baseline = metrics.of_numbers(truth, metrics.mean(seen, len(truth)))
        return metrics.of_numbers(truth, found), baseline
    shares = metrics.shares(seen, len(test.target.classes), len(truth))
    return metrics.of_classes(truth, found), metrics.of_classes(truth, shares)


def _config(
    settings: Settings, features: Sequence[Feature], target: Target, report: Report
) -> dict[str, Any]:
    """What config.json says, but for what the weights need."""
    packages = ("gristmill", "scikit-learn", "torch")
    encoder = settings.encoder if "text" in report.features.values() else None
    return {
        "architectures": [stored.ARCHITECTURES[settings.goal]],
        "model_type": stored.FAMILY,
        "model": settings.model,
        "target": settings.target,
        "classes": target.classes,
        "features": {feature.name: feature.kind for feature in features},
        "categories": {f.name: f.values for f in features if f.kind == "category"},
        "encoder": encoder and {"name": encoder.name, "revision": encoder.revision},
        "training": {
            "rows": report.rows,
            "dropped": report.dropped,
            "left_out": report.left_out,
            "seed": settings.seed,
            "metrics": report.metrics,
            "baseline": report.baseline,
        },
        "versions": {name: version(name) for name in packages},
    }
