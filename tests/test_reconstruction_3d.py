"""Points in space from one picture, and from several."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from actors.catalog import canonical
from actors.errors import RowRejected
from actors.seeing.depth_map import depth_of
from actors.space.camera import Camera
from actors.space.cloud import POINT
from actors.stage import ModelFiles, Row
from actors.vision.depth_estimation import DepthEstimation
from actors.vision.reconstruction_3d import Reconstruction3D
from actors.worker import Worker
from benchmarks.rooms import turn_of
from tests.tiny.detect import lightglue
from tests.tiny.seeing import encoded, photo
from tests.tiny.space import depth_anything, metric_depth, no_model
from tests.tiny.views import PLACES, views

Build = Callable[..., ModelFiles]
IMAGE = photo(96, 64, 1)


def answer(files: ModelFiles, row: Row, **options: Any) -> Any:
    return Worker(Reconstruction3D(**options), files).answer([row])[0]


def cloud(found: Row) -> np.ndarray:
    body = found["points"].partition(b"end_header\n")[2]
    rows = np.frombuffer(body, POINT)
    assert len(rows) == found["n_points"]
    return rows


def test_cameras_of_several_views_are_found_without_any_weights(tiny: Build) -> None:
    found = answer(tiny(no_model), views(3))
    assert found["unit"] == "step" and found["n_points"] > 100
    assert found["reprojection_error"] < 1.0
    step = np.linalg.norm(PLACES[1][0])
    for camera, (place, degrees) in zip(found["cameras"], PLACES, strict=True):
        turn = np.array(camera["rotation"]).reshape(3, 3)
        apart = (np.trace(turn @ turn_of(degrees).T) - 1) / 2
        assert np.degrees(np.arccos(np.clip(apart, -1, 1))) < 0.5
        centre = -turn.T @ np.array(camera["translation"])
        np.testing.assert_allclose(centre * step, place, atol=0.05)
    assert [(m["first"], m["second"]) for m in found["matches"]] == [(0, 1), (0, 2), (1, 2)]


def test_points_of_one_picture_are_as_far_as_the_model_of_depth_says(tiny: Build) -> None:
    files = tiny(metric_depth)
    row = {"image": encoded(IMAGE)}
    (told,) = Worker(DepthEstimation(format="npy"), files).answer([row])
    depth = depth_of(told["depth"], None, None)
    points = Camera.of(96, 64, 60, None).points(depth)
    points = points[points[:, 2] > 0]
    rows = cloud(answer(files, row))
    for number, axis in enumerate("xyz"):
        np.testing.assert_allclose(rows[axis], points[:, number], rtol=1e-4, atol=1e-4)
    ahead = depth.ravel() > 0
    assert (rows["red"] == np.asarray(IMAGE).reshape(-1, 3)[ahead, 0]).all()


def test_a_picture_gives_no_more_points_than_are_asked_for(tiny: Build) -> None:
    found = answer(tiny(depth_anything), {"image": encoded(IMAGE)}, max_points=500)
    rows = cloud(found)
    assert 400 <= len(rows) <= 500 and found["unit"] == "relative"
    assert (rows["z"].min(), rows["z"].max()) == pytest.approx((1, 10))
    (camera,) = found["cameras"]
    assert camera["registered"] and camera["rotation"] == np.eye(3).ravel().tolist()


def test_a_network_may_match_the_views(tiny: Build) -> None:
    found = answer(tiny(lightglue), views(1))
    assert isinstance(found, RowRejected)  # random weights match at random
    assert found.reason in ("too_few_matches", "too_little_parallax")


def test_views_beyond_the_most_are_rejected(tiny: Build) -> None:
    found = answer(tiny(no_model), {"images": [encoded(IMAGE)] * 3}, max_views=2)
    assert isinstance(found, RowRejected) and found.reason == "too_many_views"


def test_the_column_that_the_model_is_for_must_be_wired() -> None:
    stage, depth = Reconstruction3D(), {"architectures": ["DPTForDepthEstimation"]}
    assert "'image'" in str(stage.wired({"images"}, depth))
    assert stage.wired({"image"}, depth) is stage.wired({"images"}, None) is None
    assert "'images'" in str(stage.wired({"image"}, None))


def test_the_task_is_found_by_its_usual_name() -> None:
    assert canonical("3d-reconstruction") == "reconstruction-3d"
