"""How a camera stands: from matches between two views, and from points whose place is known."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from actors.space.camera import Camera, Points

SURE = 0.9999
"""Probability that the samples of RANSAC hold one without a wrong match."""

SAMPLES = 2_000
"""Most samples that RANSAC tries."""

Rays = NDArray[np.float64]
"""Lines of sight: where they cross z = 1, (n, 2)."""


class Pose(NamedTuple):
    """A camera in the world: a point p of the world is turn @ p + shift in the camera's axes."""

    turn: NDArray[np.float64]
    shift: NDArray[np.float64]

    @classmethod
    def origin(cls) -> "Pose":
        """The camera whose axes are the world's."""
        return cls(np.eye(3), np.zeros(3))

    @property
    def centre(self) -> NDArray[np.float64]:
        """Where the camera stands."""
        place: NDArray[np.float64] = -self.turn.T @ self.shift
        return place

    def seen(self, points: Points) -> Points:
        """Return points of the world in the camera's axes."""
        found: Points = points @ self.turn.T + self.shift
        return found


class Pairing(NamedTuple):
    """How the second of two views stands to the first, a step of length 1 away, and which of
    their matches fit that, (n,)."""

    pose: Pose
    fits: NDArray[np.bool_]


def pairing_of(first: Rays, second: Rays, tolerance: float) -> Pairing | None:
    """Return how two views stand to each other; `tolerance` as a length at z = 1."""
    if len(first) < 5:
        return None
    matrix, fits = cv2.findEssentialMat(
        first, second, np.eye(3), cv2.RANSAC, SURE, tolerance, SAMPLES
    )
    if matrix is None or matrix.shape != (3, 3):
        return None
    # recoverPose drops what is farther than 50 steps: a pair may still agree on it.
    _, turn, shift, _ = cv2.recoverPose(matrix, first, second, np.eye(3), mask=fits.copy())
    return Pairing(Pose(turn, shift[:, 0]), fits[:, 0] > 0)


def pose_of(points: Points, rays: Rays, tolerance: float) -> tuple[Pose, NDArray[np.bool_]] | None:
    """Return the camera that sees points on these rays, and which of them fit, (n,)."""
    if len(points) < 6:
        return None
    eye = np.eye(3)
    good, turn, shift, which = cv2.solvePnPRansac(
        points, rays, eye, None, iterationsCount=SAMPLES, reprojectionError=tolerance,
        confidence=SURE, flags=cv2.SOLVEPNP_SQPNP,
    )  # fmt: skip
    if not good or which is None:
        return None
    fits = np.zeros(len(points), dtype=bool)
    fits[which[:, 0]] = True
    turn, shift = cv2.solvePnPRefineLM(points[fits], rays[fits], eye, None, turn, shift)
    return Pose(cv2.Rodrigues(turn)[0], shift[:, 0]), fits


def crossing(poses: list[Pose], rays: Rays) -> NDArray[np.float64] | None:
    """Return the point where lines of sight of several cameras, (n, 2), come nearest."""
    rows = []
    for pose, (x, y) in zip(poses, rays, strict=True):
        matrix = np.column_stack([pose.turn, pose.shift])
        rows += [x * matrix[2] - matrix[0], y * matrix[2] - matrix[1]]
    point = np.linalg.svd(np.array(rows))[2][-1]
    if abs(point[3]) < 1e-12:
        return None
    place: NDArray[np.float64] = point[:3] / point[3]
    return place


def angle_at(point: NDArray[np.float64], poses: list[Pose]) -> float:
    """Return the widest angle, in degrees, at which two cameras see a point."""
    lines = np.array([pose.centre - point for pose in poses])
    lines /= np.linalg.norm(lines, axis=1, keepdims=True)
    return float(np.degrees(np.arccos(np.clip(lines @ lines.T, -1, 1)).max()))


def misses(pose: Pose, camera: Camera, points: Points, rays: Rays) -> NDArray[np.float64]:
    """Return how far from where it was seen each point is shown, in pixels; infinite behind."""
    seen = pose.seen(points)
    ahead = seen[:, 2] > 1e-9
    shown = seen[:, :2] / np.where(ahead, seen[:, 2], 1.0)[:, None]
    far = np.linalg.norm(shown - rays, axis=1) * camera.focal
    return np.where(ahead, far, np.inf)
