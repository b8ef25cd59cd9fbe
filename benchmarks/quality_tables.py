"""How right the models of tables are on the tables that scikit-learn ships.

Trains each as `gristmill train` does, on 80 % of the rows, five times with other rows, and prints
what it is worth on the others: mean, lowest, highest, beside the commonest class or the mean.

    OMP_NUM_THREADS=1 python -m benchmarks.quality_tables
"""

from collections.abc import Callable
from statistics import mean
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
MODELS: tuple[ModelName, ...] = ("gradient-boosting", "linear")
SHOWN = {"classification": "accuracy", "regression": "R2"}
SPLITS = 5


def table_of(load: Callable[..., Any]) -> pa.Table:
    """A shipped table with the column `target`."""
    found = load()
    columns = {str(name): found.data[:, n] for n, name in enumerate(found.feature_names)}
    return pa.table({**columns, "target": found.target})


def measure(name: str, model: ModelName, splits: int = SPLITS) -> tuple[list[float], float]:
    """The shown metric of the model on the test rows of each split, and the baseline's mean."""
    load, goal = TABLES[name]
    table, shown = table_of(load), SHOWN[goal]
    reports = [
        train(table, Settings(goal, "target", model, seed=seed)).report for seed in range(splits)
    ]
    return [r.metrics[shown] for r in reports], mean(r.baseline[shown] for r in reports)


def main() -> None:
    print(
        f"{'table':14} {'model':18} {'metric':9} {'mean':>6} {'from':>6} {'to':>6} {'baseline':>9}"
    )
    for name, (_, goal) in TABLES.items():
        for model in MODELS:
            found, baseline = measure(name, model)
            figures = f"{mean(found):6.3f} {min(found):6.3f} {max(found):6.3f} {baseline:9.3f}"
            print(f"{name:14} {model:18} {SHOWN[goal]:9} {figures}")


if __name__ == "__main__":
    main()
