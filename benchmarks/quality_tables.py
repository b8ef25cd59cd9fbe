"""How right the models of tables are on the tables that scikit-learn ships.

Trains each as `gristmill train` does, on 80 % of the rows, and prints what it is worth on the
others, beside the commonest class or the mean.

    OMP_NUM_THREADS=1 python -m benchmarks.quality_tables
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from sklearn import datasets

from actors.tables.target import Goal
from actors.tables.training import ModelName, Settings, train

TABLES: dict[str, tuple[Callable[..., Any], Goal]] = {
    "breast_cancer": (datasets.load_breast_cancer, "classification"),
    "wine": (datasets.load_wine, "classification"),
    "iris": (datasets.load_iris, "classification"),
    "digits": (datasets.load_digits, "classification"),
    "diabetes": (datasets.load_diabetes, "regression"),
}
MODELS: tuple[ModelName, ...] = ("gradient-boosting", "linear", "text-and-table")
SHOWN = {"classification": "accuracy", "regression": "R2"}


def table_of(load: Callable[..., Any]) -> pa.Table:
    """A shipped table with the column `target`."""
    found = load()
    columns = {str(name): found.data[:, n] for n, name in enumerate(found.feature_names)}
    return pa.table({**columns, "target": found.target})


def measure(name: str, model: ModelName, seed: int = 0) -> tuple[float, float, int]:
    """The shown metric of the model and of the baseline on the test rows, and their number."""
    load, goal = TABLES[name]
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(goal, "target", model, seed=seed)
        report = train(table_of(load), settings, Path(folder))
    shown = SHOWN[goal]
    return report.metrics[shown], report.baseline[shown], report.rows["test"]


def main() -> None:
    print(f"{'table':14} {'model':18} {'metric':9} {'test':>6} {'baseline':>9} {'rows':>5}")
    for name, (_, goal) in TABLES.items():
        for model in MODELS:
            found, baseline, rows = measure(name, model)
            shown = SHOWN[goal]
            print(f"{name:14} {model:18} {shown:9} {found:6.3f} {baseline:9.3f} {rows:5}")


if __name__ == "__main__":
    main()
