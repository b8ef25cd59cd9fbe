"""A scene from several views: where the cameras stood, and the points that they share.

Two views begin; then the view that knows the most points is placed by them, and adds points of
its own. What was placed is adjusted together after each.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actors.errors import RowRejected
from actors.space.adjustment import Sightings, adjusted
from actors.space.camera import Camera, Points
from actors.space.cloud import Colours
from actors.space.poses import Pairing, Pose, angle_at, crossing, misses, pairing_of, pose_of
from actors.space.tracks import Pair, Shared, Track, tracks_of

LEAST = 12
"""Fitting matches for two views to be a pair, or known points to place a view: chance matches
seldom agree so often."""

NARROW = 1.0
"""Degrees: lines of sight that cross at less say little of how far a point is."""

WIDE = 5.0
"""Degrees at which a pair of views is as good to begin with as any wider one."""


class Scene(NamedTuple):
    """What was found: pose of each view (None: not placed), points with colours, and the mean
    distance in pixels between where points are shown and where they were seen."""

    poses: list[Pose | None]
    points: Points
    colours: Colours
    error: float
    matches: dict[Pair, int]


def scene_of(cameras: Sequence[Camera], pairs: Mapping[Pair, Shared], tolerance: float) -> Scene:
    """Return the scene that views share.

    The first placed view is the origin, the step from it to the next placed one is of length 1.
    Raises RowRejected (too_few_matches, too_little_parallax).
    """
    pairings = _pairings(cameras, pairs, tolerance)
    if not pairings:
        raise RowRejected(
            "too_few_matches", f"no two views share {LEAST} points that one camera move explains"
        )
    kept = {pair: _fitting(pairs[pair], one.fits) for pair, one in pairings.items()}
    builder = Builder(cameras, tracks_of(kept), tolerance)
    builder.begin(pairings)
    builder.grow()
    counts = {pair: len(shared.points) for pair, shared in kept.items()}
    return builder.scene({pair: counts.get(pair, 0) for pair in pairs})


def _pairings(
    cameras: Sequence[Camera], pairs: Mapping[Pair, Shared], tolerance: float
) -> dict[Pair, Pairing]:
    found = {}
    for (first, second), shared in pairs.items():
        one, other = cameras[first], cameras[second]
        reach = 2 * tolerance / (one.focal + other.focal)
        pairing = pairing_of(one.rays(shared.points), other.rays(shared.others), reach)
        if pairing is not None and pairing.fits.sum() >= LEAST:
            found[first, second] = pairing
    return found


def _fitting(shared: Shared, fits: NDArray[np.bool_]) -> Shared:
    return Shared(shared.points[fits], shared.others[fits], shared.colours[fits])


class Builder:
    """A scene in the making: poses of placed views, points of placed tracks."""

    def __init__(
        self, cameras: Sequence[Camera], tracks: Sequence[Track], tolerance: float
    ) -> None:
        self.cameras = cameras
        self.tracks = tracks
        self.tolerance = tolerance
        self.rays = [
            {view: cameras[view].rays(pixel[None])[0] for view, pixel in track.seen.items()}
            for track in tracks
        ]
        self.poses: dict[int, Pose] = {}
        self.points: dict[int, NDArray[np.float64]] = {}

    def begin(self, pairings: Mapping[Pair, Pairing]) -> None:
        """Place the pair of views that shares the most points at wide angles."""
        best = 0.0
        for (first, second), pairing in pairings.items():
            self.poses = {first: Pose.origin(), second: pairing.pose}
            self.points = {}
            self._add_points()
            worth = len(self.points) * min(1.0, self._angle() / WIDE)
            if worth > best:
                best, poses, points = worth, self.poses, self.points
        if not best:
            raise RowRejected(
                "too_little_parallax",
                f"no two views see {LEAST} shared points at more than {NARROW:g} degree",
            )
        self.poses, self.points = poses, points
        self._adjust()

    def _angle(self) -> float:
        """Return the middle of the angles at which points are seen; 0 where they are few."""
        if len(self.points) < LEAST:
            return 0.0
        poses = list(self.poses.values())
        return float(np.median([angle_at(point, poses) for point in self.points.values()]))

    def grow(self) -> None:
        """Place the other views, the one that knows the most points first."""
        waiting = set(range(len(self.cameras))) - set(self.poses)
        while waiting:
            known = {view: self._known(view) for view in waiting}
            view = max(sorted(waiting), key=lambda one: len(known[one]))
            waiting.discard(view)
            if self._place(view, known[view]):
                self._add_points()
                self._adjust()

    def _known(self, view: int) -> list[int]:
        """Return the tracks with a point that a view sees."""
        return [n for n in self.points if view in self.rays[n]]

    def _place(self, view: int, known: list[int]) -> bool:
        if len(known) < LEAST:
            return False
        points = np.array([self.points[n] for n in known])
        rays = np.array([self.rays[n][view] for n in known])
        found = pose_of(points, rays, self.tolerance / self.cameras[view].focal)
        if found is None or found[1].sum() < LEAST:
            return False
        self.poses[view] = found[0]
        return True

    def _add_points(self) -> None:
        """Give a point to each track that two placed views see well enough."""
        for number, rays in enumerate(self.rays):
            views = [view for view in rays if view in self.poses]
            if number in self.points or len(views) < 2:
                continue
            poses = [self.poses[view] for view in views]
            point = crossing(poses, np.array([rays[view] for view in views]))
            if point is not None and self._is_good(point, views, rays):
                self.points[number] = point

    def _is_good(
        self, point: NDArray[np.float64], views: list[int], rays: dict[int, NDArray[np.float64]]
    ) -> bool:
        if angle_at(point, [self.poses[view] for view in views]) < NARROW:
            return False
        return max(self._miss(point, view, rays[view]) for view in views) <= self.tolerance

    def _miss(self, point: NDArray[np.float64], view: int, ray: NDArray[np.float64]) -> float:
        return float(misses(self.poses[view], self.cameras[view], point[None], ray[None])[0])

    def _adjust(self) -> None:
        """Adjust poses and points, then drop the points that do not fit."""
        views, numbers = list(self.poses), list(self.points)
        poses, points = adjusted(
            [self.poses[view] for view in views],
            np.array([self.points[n] for n in numbers]),
            self._sightings(views, numbers),
            self.tolerance,
        )
        self.poses = dict(zip(views, poses, strict=True))
        moved = dict(zip(numbers, points, strict=True))
        self.points = {
            n: point
            for n, point in moved.items()
            if self._is_good(point, [v for v in views if v in self.rays[n]], self.rays[n])
        }

    def _sightings(self, views: list[int], numbers: list[int]) -> Sightings:
        found = [
            (place, k, self.rays[n][view], self.cameras[view].focal)
            for k, n in enumerate(numbers)
            for place, view in enumerate(views)
            if view in self.rays[n]
        ]
        poses, points, rays, focals = zip(*found, strict=True)
        return Sightings(np.array(poses), np.array(points), np.array(rays), np.array(focals))

    def scene(self, matches: dict[Pair, int]) -> Scene:
        """Return what was built, from the first placed view. Raises RowRejected
        (too_few_matches) where hardly any point is left."""
        if len(self.points) < LEAST:
            raise RowRejected("too_few_matches", f"only {len(self.points)} points fit all views")
        first, second = sorted(self.poses)[:2]
        origin = self.poses[first]
        step = float(np.linalg.norm(self.poses[second].centre - origin.centre)) or 1.0
        numbers = list(self.points)
        points = origin.seen(np.array([self.points[n] for n in numbers])) / step
        poses = [
            _from(origin, self.poses[view], step) if view in self.poses else None
            for view in range(len(self.cameras))
        ]
        colours = np.array([self.tracks[n].colour for n in numbers], dtype=np.uint8)
        return Scene(poses, points, colours, self._error(numbers), matches)

    def _error(self, numbers: list[int]) -> float:
        found = [
            self._miss(self.points[n], view, ray)
            for n in numbers
            for view, ray in self.rays[n].items()
            if view in self.poses
        ]
        return float(np.mean(found))


def _from(origin: Pose, pose: Pose, step: float) -> Pose:
    """Return a pose in the axes of another camera, with `step` as the length 1."""
    turn = pose.turn @ origin.turn.T
    return Pose(turn, (pose.shift - turn @ origin.shift) / step)
