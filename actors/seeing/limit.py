"""How far good pictures go, judged by few of them."""

import numpy as np
from scipy.special import stdtrit


def limit_of(distances: np.ndarray, false_alarms: float) -> float:
    """Return the distance that so large a share of other good pictures goes beyond.

    The greater of two: the quantile of the distances, which few of them cannot tell, as it is
    about their maximum; and the prediction limit for one more of them, were their logarithms
    normal, which allows for how little so few say of their mean and spread (of 10 it is 2.96
    standard deviations above the mean for a share of 0.01, of 75 2.39, of very many 2.33).
    Distances are two at least, above 0: float (pictures,).
    """
    logs, count = np.log(distances), len(distances)
    spread = logs.std(ddof=1) * np.sqrt(1 + 1 / count)
    predicted = np.exp(logs.mean() + stdtrit(count - 1, 1 - false_alarms) * spread)
    return float(max(np.quantile(distances, 1 - false_alarms), predicted))
