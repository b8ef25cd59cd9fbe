"""pose-estimation: the joints of persons that a detector or a stage before found."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as hf

from actors.detections import box_of
from actors.errors import RowRejected, StageFailed
from actors.images import decode
from actors.stage import ModelFiles, Row
from actors.vision.object_detection import ObjectDetection
from actors.vision.pose_estimation import PoseEstimation
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny.posing import JOINTS, place, with_detector
from tests.tiny.seeing import PICTURES, encoded, photo

Build = Callable[..., ModelFiles]
BOXES = [(5.0, 8.0, 60.0, 50.0), (20.5, 3.0, 41.5, 60.0)]


def answered(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(PoseEstimation(**{"threshold": 0.2, **options}), files).answer(rows)


def test_joints_are_those_of_transformers(tiny: Build) -> None:
    files = tiny(with_detector)
    row = {**PICTURES[0], "detections": [place(edges) for edges in BOXES]}
    (answer,) = answered(files, [row], persons_from="detections")
    model = hf.VitPoseForPoseEstimation.from_pretrained(files.folder).eval()
    processor = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    boxes = [[[x, y, right - x, bottom - y] for x, y, right, bottom in BOXES]]
    with torch.inference_mode():
        outputs = model(**processor(decode(row["image"]), boxes=boxes, return_tensors="pt"))
    (wanted,) = processor.post_process_pose_estimation(outputs, boxes=boxes)
    for person, pose, edges in zip(answer["persons"], wanted, BOXES, strict=True):
        joints = person["keypoints"]
        assert [joint["name"] for joint in joints] == JOINTS
        assert_close([[j["x"], j["y"]] for j in joints], pose["keypoints"].tolist(), 1e-5)
        assert_close([j["score"] for j in joints], pose["scores"].clamp(0, 1).tolist(), 1e-5)
        assert person["box"] == box_of(edges) and person["score"] == 0.9


def test_persons_of_a_detector_are_those_of_object_detection(tiny: Build) -> None:
    files = tiny(with_detector)
    finder = Worker(
        ObjectDetection(threshold=0.2, labels=("person",)), ModelFiles(files.others["detector"])
    )
    found = finder.answer(PICTURES)
    rows = [
        {**row, "detections": one["detections"]} for row, one in zip(PICTURES, found, strict=True)
    ]
    assert any(one["detections"] for one in found)
    assert_close(answered(files, PICTURES), answered(files, rows, persons_from="detections"), 1e-4)


def test_of_detections_persons_alone_are_looked_at_the_surest_first(tiny: Build) -> None:
    first, second = BOXES
    rows = [
        {**PICTURES[0], "detections": [place(first, score=0.6), place(second), place(first, "cat"),
                                       place(first, score=0.1), place(second, score=None)]},
        {**PICTURES[0], "detections": [place(first, "cat")]},
    ]  # fmt: skip
    some, none = answered(tiny(with_detector), rows, persons_from="detections", max_persons=2)
    assert [person["score"] for person in some["persons"]] == [1.0, 0.9]
    assert some["person_count"] == 3
    assert none == {"persons": [], "person_count": 0}


def test_a_picture_may_be_one_person(tiny: Build) -> None:
    files = tiny(with_detector)
    (answer,) = answered(files, PICTURES[:1], persons_from="picture")
    row = {**PICTURES[0], "detections": [place((0.0, 0.0, 96.0, 64.0))]}
    (same,) = answered(files, [row], persons_from="detections")
    (person,) = answer["persons"]
    assert person["score"] is None
    assert {**person, "score": 0.9} == same["persons"][0]


@pytest.mark.parametrize(
    ("detections", "reason"),
    [(None, "null_input"), ([place(None)], "no_box"), ([place((9, 9, 9, 20))], "no_box"),
     ([place((0, 0, float("nan"), 20))], "no_box"), ([None], "no_box"),
     ([place((200, 0, 300, 20))], "no_box"),
     ([place((0, 0, 20, 20), score=float("nan"))], "not_finite")],
)  # fmt: skip
def test_detections_without_boxes_are_rejected(detections: Any, reason: str, tiny: Build) -> None:
    row = {**PICTURES[0], "detections": detections}
    (answer,) = answered(tiny(with_detector), [row], persons_from="detections")
    assert isinstance(answer, RowRejected) and answer.reason == reason


def test_boxes_are_cut_to_the_picture(tiny: Build) -> None:
    row = {**PICTURES[0], "detections": [place((-9.0, 5.0, 500.0, 60.0))]}
    (answer,) = answered(tiny(with_detector), [row], persons_from="detections")
    assert answer["persons"][0]["box"] == box_of([0.0, 5.0, 96.0, 60.0])


def test_a_picture_of_a_few_rows_of_pixels_is_rejected(tiny: Build) -> None:
    rows = [{"image": encoded(photo(40, height))} for height in (1, 3, 4)]
    answers = answered(tiny(with_detector), rows, persons_from="picture")
    assert [getattr(one, "reason", None) for one in answers] == ["image_too_small"] * 2 + [None]


def test_only_what_is_used_is_read_and_fetched() -> None:
    stages = {
        how: PoseEstimation(persons_from=how) for how in ("detector", "detections", "picture")
    }
    assert [list(one.inputs(None)) for one in stages.values()] == [
        ["image"], ["image", "detections"], ["image"]
    ]  # fmt: skip
    assert [len(one.model_options(None)) for one in stages.values()] == [1, 0, 0]


def test_an_expert_that_is_not_there_is_refused(tiny: Build) -> None:
    with pytest.raises(StageFailed, match="no expert 3; the model has 1"):
        answered(tiny(with_detector), PICTURES, expert=3)
