"""Bundle adjustment: cameras and points moved together until points are shown where they were
seen."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.sparse import csr_matrix

from actors.space.camera import Points
from actors.space.poses import Pose

ROUNDS = 30
"""Most steps: from a pose that is 1 degree off, synthetic scenes take 5 to 10."""


class Sightings(NamedTuple):
    """Who saw what where: numbers of poses and of points, (n,), rays, (n, 2), and the focal
    length in pixels of the camera that saw it, (n,)."""

    poses: NDArray[np.int64]
    points: NDArray[np.int64]
    rays: NDArray[np.float64]
    focals: NDArray[np.float64]


def adjusted(
    poses: list[Pose], points: Points, seen: Sightings, tolerance: float
) -> tuple[list[Pose], Points]:
    """Return better poses and points; the first pose stays. Sightings that miss by more than
    `tolerance` pixels count less."""
    turns = [np.concatenate([cv2.Rodrigues(pose.turn)[0][:, 0], pose.shift]) for pose in poses]
    start = np.concatenate([np.concatenate(turns), points.ravel()])
    free = slice(6, None)

    def miss(values: NDArray[np.float64]) -> NDArray[np.float64]:
        whole = np.concatenate([start[:6], values])
        return _misses(whole, len(poses), seen)

    found = least_squares(
        miss,
        start[free],
        jac_sparsity=_dependence(len(poses), len(points), seen)[:, 6:],
        x_scale="jac",
        method="trf",
        loss="soft_l1",
        f_scale=tolerance,
        max_nfev=ROUNDS,
    )
    best = np.concatenate([start[:6], found.x])
    rows = best[: 6 * len(poses)].reshape(-1, 6)
    moved = [Pose(cv2.Rodrigues(row[:3])[0], row[3:].copy()) for row in rows]
    return moved, best[6 * len(poses) :].reshape(-1, 3)


def _misses(values: NDArray[np.float64], poses: int, seen: Sightings) -> NDArray[np.float64]:
    """Return across and down, in pixels, how far each sighting is from where it should be."""
    turns = values[: 6 * poses].reshape(-1, 6)[seen.poses]
    points = values[6 * poses :].reshape(-1, 3)[seen.points]
    there = _turned(points, turns[:, :3]) + turns[:, 3:]
    z = np.where(np.abs(there[:, 2]) < 1e-9, 1e-9, there[:, 2])
    shown = there[:, :2] / z[:, None]
    found: NDArray[np.float64] = ((shown - seen.rays) * seen.focals[:, None]).ravel()
    return found


def _turned(points: Points, turns: NDArray[np.float64]) -> Points:
    """Turn each point about an axis, by the axis' length in radians (Rodrigues)."""
    angle = np.linalg.norm(turns, axis=1, keepdims=True)
    axis = turns / np.where(angle == 0, 1.0, angle)
    along = (axis * points).sum(axis=1, keepdims=True) * axis
    found: Points = (
        points * np.cos(angle)
        + np.cross(axis, points) * np.sin(angle)
        + along * (1 - np.cos(angle))
    )
    return found


def _dependence(poses: int, points: int, seen: Sightings) -> csr_matrix:
    """Return which numbers each miss depends on: six of a pose and three of a point."""
    columns = np.concatenate(
        [
            seen.poses[:, None] * 6 + np.arange(6),
            6 * poses + seen.points[:, None] * 3 + np.arange(3),
        ],
        axis=1,
    )
    columns = np.repeat(columns, 2, axis=0)
    rows = np.repeat(np.arange(len(columns)), 9)
    shape = (len(columns), 6 * poses + 3 * points)
    return csr_matrix((np.ones(rows.size, dtype=np.int8), (rows, columns.ravel())), shape=shape)
