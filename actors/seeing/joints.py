"""Where the joints of a person are: what models of poses answer."""

from typing import NamedTuple

import numpy as np


class Pose(NamedTuple):
    """The joints of a person, in the order of the model's names: `points` float32 (joints, 2), x
    and y in pixels of the picture's file; `scores` float32 (joints,), 0..1."""

    points: np.ndarray
    scores: np.ndarray
