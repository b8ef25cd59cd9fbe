"""Cameras, points and poses, from scenes whose truth is known."""

import numpy as np
import pytest

from actors.errors import RowRejected
from actors.space.camera import Camera
from actors.space.cloud import POINT, ply_of
from actors.space.poses import Pose
from actors.space.scene import Scene, scene_of
from actors.space.tracks import Pair, Shared, tracks_of

CAMERA = Camera.of(640, 480, 60, None)


def turned(degrees: float) -> np.ndarray:
    """About the axis that points down."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


def standing(*views: tuple[float, float, float]) -> list[Pose]:
    """Cameras at x, z, turned by degrees."""
    return [Pose(turned(angle), -turned(angle) @ np.array([x, 0, z])) for x, z, angle in views]


def shown(pose: Pose, points: np.ndarray) -> np.ndarray:
    seen = pose.seen(points)
    return seen[:, :2] / seen[:, 2:] * CAMERA.focal + [319.5, 239.5]


def matched(poses: list[Pose], wrong: float = 0.0, noise: float = 0.0) -> dict[Pair, Shared]:
    """Every point in every view, some shares of the matches wrong, and noise in pixels."""
    chance = np.random.default_rng(0)
    points = chance.uniform([-2, -1.5, 4], [2, 1.5, 8], (150, 3))
    colours = chance.integers(0, 256, (150, 3)).astype(np.uint8)
    seen = [shown(pose, points) + chance.normal(0, noise, (150, 2)) for pose in poses]
    pairs = {}
    for first in range(len(poses)):
        for second in range(first + 1, len(poses)):
            others = seen[second].copy()
            bad = chance.random(150) < wrong
            others[bad] = chance.uniform(0, 480, (bad.sum(), 2))
            pairs[first, second] = Shared(seen[first], others, colours)
    return pairs


def angles_off(scene: Scene, poses: list[Pose]) -> list[float]:
    """Degrees between each camera's turn, as seen from the first, and the truth."""
    found = []
    for mine, true in zip(scene.poses, poses, strict=True):
        assert mine is not None
        apart = mine.turn @ (true.turn @ poses[0].turn.T).T
        found.append(float(np.degrees(np.arccos(np.clip((np.trace(apart) - 1) / 2, -1, 1)))))
    return found


VIEWS = standing((0, 0, 0), (0.6, 0, -4), (1.2, 0.2, -9), (-0.7, 0.1, 6))


def test_cameras_and_points_of_a_scene_are_found_again() -> None:
    scene = scene_of([CAMERA] * 4, matched(VIEWS), 2.0)
    assert max(angles_off(scene, VIEWS)) < 1e-3
    places = [pose.centre for pose in scene.poses if pose is not None]
    true = np.array([pose.centre for pose in VIEWS]) / 0.6
    np.testing.assert_allclose(places, true, atol=1e-3)
    assert len(scene.points) == 150 and scene.error < 1e-3
    again = {tuple(colour) for colour in scene.colours}
    assert again == {tuple(c) for c in matched(VIEWS)[0, 1].colours}


def test_wrong_matches_and_noise_move_cameras_little() -> None:
    scene = scene_of([CAMERA] * 4, matched(VIEWS, wrong=0.3, noise=0.5), 2.0)
    assert max(angles_off(scene, VIEWS)) < 0.5
    assert scene.error < 1.0
    assert all(count >= 80 for count in scene.matches.values())


def test_a_view_of_something_else_is_not_placed() -> None:
    pairs = matched(VIEWS[:3])
    chance = np.random.default_rng(1)
    for first in (0, 1):
        pixels = [chance.uniform(0, 480, (40, 2)) for _ in range(2)]
        pairs[first, 2] = Shared(*pixels, np.zeros((40, 3), np.uint8))
    scene = scene_of([CAMERA] * 3, pairs, 1.0)
    assert [pose is not None for pose in scene.poses] == [True, True, False]


@pytest.mark.parametrize(
    ("poses", "count", "reason"),
    [
        (VIEWS[:2], 8, "too_few_matches"),
        (standing((0, 0, 0), (0.001, 0, -4)), 150, "too_little_parallax"),
    ],
)
def test_views_that_say_too_little_are_rejected(poses: list[Pose], count: int, reason: str) -> None:
    pairs = {pair: Shared(*(a[:count] for a in all_)) for pair, all_ in matched(poses).items()}
    with pytest.raises(RowRejected) as error:
        scene_of([CAMERA] * 2, pairs, 2.0)
    assert error.value.reason == reason


def test_matches_join_into_tracks_once_a_view() -> None:
    rgb = np.zeros((1, 3), np.uint8)

    def pair(a: tuple[float, float], b: tuple[float, float]) -> Shared:
        return Shared(np.array([a]), np.array([b]), rgb)

    chain = {(0, 1): pair((1, 1), (2, 2)), (1, 2): pair((2.1, 2.2), (3, 3))}
    (track,) = tracks_of(chain)
    assert list(track.seen) == [0, 1, 2]
    assert tracks_of({**chain, (0, 2): pair((9, 9), (3, 3))}) == []


def test_a_map_of_depths_becomes_the_points_that_a_camera_sees() -> None:
    camera = Camera.of(40, 20, 90, None)
    assert camera.focal == pytest.approx(20)
    points = camera.points(np.full((10, 20), 2.0))
    assert points.shape == (200, 3) and (points[:, 2] == 2).all()
    np.testing.assert_allclose(points[0], [-1.9, -0.9, 2])
    np.testing.assert_allclose(points.mean(axis=0), [0, 0, 2], atol=1e-9)


def test_a_ply_file_holds_points_and_colours() -> None:
    points, colours = np.arange(6.0).reshape(2, 3), np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    head, _, body = ply_of(points, colours).partition(b"end_header\n")
    assert b"element vertex 2\n" in head and head.startswith(b"ply\nformat binary_little_endian")
    assert np.frombuffer(body, POINT).tolist() == [(0, 1, 2, 1, 2, 3), (3, 4, 5, 4, 5, 6)]
