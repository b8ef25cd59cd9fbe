"""How good a model of tables is, beside knowing nothing of a row."""

import numpy as np

Metrics = dict[str, float]


def of_classes(truth: np.ndarray, scores: np.ndarray) -> Metrics:
    """Accuracy and macro F1 (0..1), and the log loss in nats.

    `truth` are places of classes, `scores` their probabilities (rows, classes).
    """
    from sklearn.metrics import f1_score, log_loss

    best = scores.argmax(axis=1)
    classes = np.arange(scores.shape[1])
    return {
        "accuracy": float((best == truth).mean()),
        "macro F1": float(f1_score(truth, best, labels=classes, average="macro", zero_division=0)),
        "log loss": float(log_loss(truth, scores, labels=classes)),
    }


def of_numbers(truth: np.ndarray, found: np.ndarray) -> Metrics:
    """Mean absolute error and root mean squared error in the target's unit, and R2 (at most 1)."""
    from sklearn.metrics import r2_score

    return {
        "MAE": float(np.abs(truth - found).mean()),
        "RMSE": float(np.sqrt(((truth - found) ** 2).mean())),
        "R2": float(r2_score(truth, found)),
    }


def shares(learned: np.ndarray, classes: int, rows: int) -> np.ndarray:
    """The baseline's scores: each class's share of the learned rows, the same for every row."""
    found = np.bincount(learned, minlength=classes) / len(learned)
    return np.tile(found, (rows, 1))


def mean(learned: np.ndarray, rows: int) -> np.ndarray:
    """The baseline's numbers: the mean of the learned rows."""
    return np.full(rows, learned.mean())
