"""The scikit-learn models of coded tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actors.tables.features import Codes
from actors.tables.target import Target

MOST_STEPS = 1_000
"""Solver steps of a logistic regression: scaled features need tens; the default of 100 warns."""

SKOPS = "model.skops"
"""The file of a fitted model, without pickle."""


class Estimator:
    """A fitted scikit-learn model, limited to `threads` CPU threads."""

    def __init__(self, fitted: Any, threads: int) -> None:
        from threadpoolctl import ThreadpoolController

        self.fitted = fitted
        self.threads = threads
        self._pools = ThreadpoolController()

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Return the classes' probabilities (rows, classes), or a number per row: float64."""
        with self._pools.limit(limits=self.threads):
            if hasattr(self.fitted, "predict_proba"):
                found: np.ndarray = self.fitted.predict_proba(matrix)
            else:
                found = self.fitted.predict(matrix)
        return found

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the model into a folder that is there; nothing else is needed to read it."""
        from skops import io

        io.dump(self.fitted, folder / SKOPS)
        return {}


def fit(
    model: str, codes: Codes, matrix: np.ndarray, target: Target, seed: int, threads: int
) -> Estimator:
    """Fit "gradient-boosting" or "linear" to coded rows: float64 (rows, features)."""
    categories = codes.places("category")
    numbers = [n for n in range(len(codes.features)) if n not in categories]
    if model == "linear":
        made = _linear(numbers, categories, target.classes is not None)
    else:
        made = _trees(categories, target.classes is not None, seed)
    estimator = Estimator(made, threads)
    with estimator._pools.limit(limits=threads):
        made.fit(matrix, target.values)
    return estimator


def _trees(categories: Sequence[int], classifies: bool, seed: int) -> Any:
    """Gradient boosting that takes missing values and categories as they are."""
    from sklearn import ensemble

    kind = (
        ensemble.HistGradientBoostingClassifier
        if classifies
        else ensemble.HistGradientBoostingRegressor
    )
    return kind(categorical_features=list(categories) or None, random_state=seed)


def _linear(numbers: Sequence[int], categories: Sequence[int], classifies: bool) -> Any:
    """Logistic or ridge regression on scaled numbers and one column per category."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    filled = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(filled, StandardScaler()), list(numbers)),
            ("categories", OneHotEncoder(handle_unknown="ignore"), list(categories)),
        ]
    )
    return make_pipeline(
        columns, LogisticRegression(max_iter=MOST_STEPS) if classifies else Ridge()
    )
