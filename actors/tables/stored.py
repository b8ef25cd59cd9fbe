"""The folder that a trained model of tables is: config.json, and its weights without pickle."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actors.errors import StageFailed
from actors.tables.estimators import SKOPS, Estimator
from actors.tables.trees import are_sound

FAMILY = "gristmill-tabular"
"""The model_type of config.json."""

ARCHITECTURES = {"classification": "TabularClassifier", "regression": "TabularRegressor"}

TRUSTED = (
    "functools.partial",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
)
"""What our own models hold beyond what skops trusts by itself; tests write each model and compare.
A partial is only made when its function is trusted too; a tree's indices are checked besides."""

BROKEN = (
    *(OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, ImportError),
    zipfile.BadZipFile,
)
"""What a file that is damaged, or is something else, raises."""


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write config.json, last: a folder without it is no model."""
    text = json.dumps(config, indent=1, ensure_ascii=False)
    (folder / "config.json").write_text(text + "\n", "utf-8")


def load(folder: Path, columns: int, threads: int) -> Estimator:
    """Load a scikit-learn model of so many coded columns.

    Raises StageFailed for a file that holds foreign types, is damaged or is another model's.
    """
    from skops import io

    path = folder / SKOPS
    try:
        foreign = sorted(set(io.get_untrusted_types(file=path)) - set(TRUSTED))
        if foreign:
            raise StageFailed(_foreign(path, foreign))
        fitted = io.load(path, trusted=list(TRUSTED))
        sound = fitted.n_features_in_ == columns and are_sound(fitted)
    except BROKEN as error:
        raise StageFailed(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    if not sound:
        raise StageFailed(f"{path} does not fit its config.json, or is damaged")
    return Estimator(fitted, threads)


def _foreign(path: Path, types: list[str]) -> str:
    return (
        f"{path} holds types that no model trained here does, and loading them could run code: "
        f"{', '.join(types)}.\n  train the model again:  gristmill train FILE"
    )
