"""Things in space and how they lie to each other."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from actors.detections import box_of
from actors.errors import RowRejected
from actors.seeing.depth_map import npy_of, png_of
from actors.space.relations import MUTUAL, ONE_WAY
from actors.stage import ModelFiles, Row
from actors.vision.depth_estimation import DepthEstimation
from actors.vision.object_detection import ObjectDetection
from actors.vision.scene_understanding import SceneUnderstanding, middle_depth
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny.seeing import encoded, photo
from tests.tiny.space import no_model, seer

Build = Callable[..., ModelFiles]
IMAGE = photo(100, 80, 1)
BOXES = {
    "table": (10, 40, 60, 70),
    "cup": (20, 25, 35, 42),
    "lamp": (70, 10, 90, 70),
    "book": (14, 50, 24, 60),
    "dog": (40, 45, 95, 78),
}
FAR = {"table": 4.0, "cup": 4.1, "lamp": 4.2, "book": 4.0, "dog": 2.0}


def painted(unit: str) -> np.ndarray:
    """A map with the depth of each thing in its box; a relative one is larger where it is near."""
    depth = np.full((80, 100), 8.0, np.float32)
    for name, (left, top, right, bottom) in BOXES.items():
        depth[top:bottom, left:right] = FAR[name]
    return depth if unit == "metres" else 1 / depth


def row(unit: str, *names: str) -> Row:
    return {
        "image": encoded(IMAGE),
        "detections": [
            {"label": name, "score": 0.9, "box": box_of(list(BOXES[name]))} for name in names
        ],
        "depth": npy_of(painted(unit)),
        "depth_unit": unit,
    }


def answer(found: Row, **options: Any) -> Any:
    return Worker(SceneUnderstanding(**options), ModelFiles.none()).answer([found])[0]


def told(found: Row) -> set[str]:
    labels = [one["label"] for one in found["objects"]]
    return {
        f"{labels[r['subject']]} {r['relation']} {labels[r['object']]}" for r in found["relations"]
    }


@pytest.mark.parametrize(
    ("names", "relations"),
    [
        (("table", "cup"), {"cup on table", "table near cup"}),
        (("cup", "lamp"), {"cup left of lamp", "cup near lamp"}),
        (("lamp", "cup"), {"lamp right of cup", "lamp near cup"}),
        (("book", "table"), {"book inside table", "book near table"}),
        (("dog", "table"), {"dog in front of table", "dog right of table", "dog near table"}),
        (("table", "dog"), {"table behind dog", "table left of dog", "table near dog"}),
        (("book", "cup"), {"book below cup", "book left of cup", "book near cup"}),
    ],
)
def test_things_lie_to_each_other_as_is_defined(
    names: tuple[str, ...], relations: set[str]
) -> None:
    assert told(answer(row("metres", *names), near=3)) == relations


def test_without_metres_there_are_relations_but_no_distances() -> None:
    found = answer(row("relative inverse", "table", "cup", "dog"))
    assert told(found) >= {"cup on table", "table near cup", "table behind dog"}
    assert not found["metric"]
    assert {one["distance"] for one in found["relations"]} == {None}
    assert {one["xyz"] is None for one in found["objects"]} == {True}
    near = {one["label"]: one["nearness"] for one in found["objects"]}
    assert near["dog"] == pytest.approx(1) and 0 < near["table"] < 1


def test_places_and_distances_are_metres_in_front_of_the_camera() -> None:
    found = answer(row("metres", "table", "lamp"), focal=100.0, near=3)
    table, lamp = (one["xyz"] for one in found["objects"])
    assert table == pytest.approx([4 * (34.5 - 49.5) / 100, 4 * (54.5 - 39.5) / 100, 4.0])
    (beside, near) = found["relations"]
    assert (beside["relation"], near["relation"]) == ("left of", "near")
    assert beside["distance"] == pytest.approx(float(np.linalg.norm(np.subtract(table, lamp))))


def test_depths_and_things_of_other_stages_give_what_the_models_give(tiny: Build) -> None:
    files, image = tiny(seer), {"image": encoded(IMAGE)}
    options = {"threshold": 0.2, "max_objects": 4}
    (alone,) = Worker(SceneUnderstanding(**options), files).answer([image])
    (depth,) = Worker(DepthEstimation(format="npy"), ModelFiles(files.folder)).answer([image])
    finder = ObjectDetection(threshold=0.2, max_detections=4)
    (things,) = Worker(finder, ModelFiles(files.others["detector"])).answer([image])
    assert len(things["detections"]) > 1 and alone["metric"]
    assert_close(answer({**image, **depth, **things}, **options), alone, 1e-4)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (None, "no_box"),
        ({"box": box_of([200, 0, 300, 20])}, "no_box"),
        ({"score": float("nan")}, "not_finite"),
    ],
)
def test_detections_that_cannot_be_placed_are_rejected(wrong: Any, reason: str) -> None:
    given = row("metres", "table", "cup")
    given["detections"][0] = wrong and {**given["detections"][0], **wrong}
    found = answer(given)
    assert isinstance(found, RowRejected) and found.reason == reason


def test_boxes_are_cut_to_the_picture() -> None:
    given = row("metres", "table")
    given["detections"][0]["box"] = box_of([-5, 40, 600, 700])
    assert answer(given)["objects"][0]["box"] == box_of([0, 40, 100, 80])


def test_things_and_relations_beyond_the_most_are_left_out() -> None:
    found = answer(row("metres", *BOXES), max_objects=3, max_relations=1)
    assert [one["label"] for one in found["objects"]] == ["table", "cup", "lamp"]
    assert len(found["relations"]) == 1 and found["relations_truncated"]


def test_a_grey_map_is_read_by_its_scale() -> None:
    depth, given = painted("metres"), row("metres", "table", "dog")
    grey = {"depth": png_of(depth), "depth_min": 2.0, "depth_max": 8.0}
    assert_close(answer({**given, **grey}), answer(given), 1e-3)
    found = answer({**given, "depth": png_of(depth)})
    assert isinstance(found, RowRejected) and found.reason == "bad_depth"


def test_a_depth_is_the_median_of_the_middle_of_a_box() -> None:
    depth = np.arange(200.0, dtype=np.float32).reshape(10, 20)
    assert middle_depth(depth, [8, 8, 16, 16], (40, 20)) == np.median(depth[5:7, 5:7])
    assert middle_depth(depth, [39, 19, 40, 20], (40, 20)) == depth[9, 19]


def test_what_is_missing_is_said(tiny: Build) -> None:
    image = {"image": encoded(IMAGE)}
    found = answer(image)
    assert isinstance(found, RowRejected) and "no depth, and no model" in found.message
    assert "detect: false" in str(SceneUnderstanding(detect=False).wired({"image"}, None))
    assert "task: depth-estimation" in str(SceneUnderstanding().wired({"image"}, None))
    assert SceneUnderstanding().wired({"image", "depth"}, None) is None
    assert SceneUnderstanding().wired({"image"}, {"model_type": "dpt"}) is None
    assert SceneUnderstanding(detect=False).model_options(None) == []
    assert tiny(no_model) == ModelFiles.none()


def test_the_docstring_defines_every_relation() -> None:
    text = re.sub(r"\s+", " ", SceneUnderstanding.__doc__ or "")
    names = [name for pair in MUTUAL for name in pair[:2]] + [name for name, _ in ONE_WAY]
    assert all(name in text for name in names)
