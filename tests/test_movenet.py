"""MoveNet: the joints of the person in the middle of a square, in pixels of the picture."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from actors.images import Picture
from actors.seeing.movenet import MOVENET, MOVENET_CLASS, Answers, MoveNet, MoveNetPoser, placed
from actors.stage import Device, ModelFiles
from actors.vision.pose_estimation import PoseEstimation
from actors.worker import Worker
from tests.tiny.posing import JOINTS, place
from tests.tiny.seeing import PICTURES
from tests.tiny.text import scatter

Build = Callable[..., ModelFiles]

WIDTHS = [4, 4, 4, 4, 4, 4, 4, 4, 8]
LABELS = {str(number): name for number, name in enumerate(JOINTS)}
EDGES = [(5.0, 8.0, 60.0, 50.0), (20.0, 3.0, 41.0, 64.0), (-9.0, 30.0, 90.0, 33.0)]


def movenet(folder: Path) -> None:
    torch.manual_seed(0)
    network = scatter(MoveNet(len(JOINTS), WIDTHS))
    save_file(network.state_dict(), folder / "model.safetensors")
    about = {"model_type": MOVENET, "architectures": [MOVENET_CLASS], "side": 64}
    (folder / "config.json").write_text(
        json.dumps({**about, "widths": WIDTHS, "id2label": LABELS}), encoding="utf-8"
    )


def photo(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return Image.fromarray(noise)


def seen(image: Image.Image) -> Picture:
    return Picture(image, image.width, image.height)


def poser(tiny: Build) -> MoveNetPoser:
    return MoveNetPoser(tiny(movenet).folder, Device())


def test_a_batch_of_persons_is_answered_as_each_alone(tiny: Build) -> None:
    model = poser(tiny)
    items = model.items(seen(photo(96, 64)), EDGES)
    together = model.infer(items)
    assert len({one.points.tobytes() for one in together}) == 3
    for item, pose in zip(items, together, strict=True):
        (alone,) = model.infer([item])
        assert np.allclose(alone.points, pose.points, atol=1e-4)
        assert np.allclose(alone.scores, pose.scores, atol=1e-5)


def test_joints_are_in_pixels_of_the_picture_wherever_the_person_is(tiny: Build) -> None:
    model, image = poser(tiny), photo(96, 64)
    moved = Image.new("RGB", (200, 150))
    moved.paste(image, (70, 50))
    (here,) = model.infer(model.items(seen(image), [(10.0, 10.0, 50.0, 50.0)]))
    (there,) = model.infer(model.items(seen(moved), [(80.0, 60.0, 120.0, 100.0)]))
    assert np.allclose(here.points + np.array([70, 50]), there.points, atol=1e-3)


@pytest.mark.parametrize("edges", [(-90, -90, -40, -40), (3, 3, 3.01, 3.02), (0, 0, 9e8, 1)])
def test_what_lies_outside_the_picture_is_black(edges: tuple[float, ...], tiny: Build) -> None:
    model = poser(tiny)
    (item,) = model.items(seen(Image.new("RGB", (40, 30), "white")), [edges])
    inside = edges[0] == 3
    assert item.data[0].shape == (64, 64, 3)
    assert (item.data[0].min() == 255) if inside else (item.data[0].mean() < 8)
    assert all(np.isfinite(part).all() for part in model.infer([item])[0])


def answers(cells: int = 12) -> Answers:
    """Nothing anywhere: of one joint."""
    one, two = torch.full((1, 1, cells, cells), -9.0), torch.zeros(1, 2, cells, cells)
    return Answers(one, two, one.clone(), two.clone())


def test_of_two_persons_the_one_in_the_middle_is_answered() -> None:
    found = answers()
    for row, column in ((6, 7), (0, 0)):
        found.middle[0, 0, row, column] = 1.0
        found.joints[0, 0, row, column] = 1.0
    found.rest[0, :, 6, 7] = torch.tensor([0.25, 0.5])
    points, scores = placed(found)
    assert points.tolist() == [[[7.5, 6.25]]]
    assert scores.tolist() == [[pytest.approx(0.7310586)]]


def test_a_joint_is_looked_for_where_the_middle_says() -> None:
    found = answers()
    found.middle[0, 0, 6, 6] = 1.0
    found.reach[0, :, 6, 6] = torch.tensor([-4.0, 3.0])
    for row, column in ((2, 8), (7, 7)):
        found.joints[0, 0, row, column] = 1.0
    assert placed(found)[0].tolist() == [[[8.0, 2.0]]]


def test_the_task_names_the_joints_of_persons(tiny: Build) -> None:
    row = {**PICTURES[0], "detections": [place(EDGES[0]), place(EDGES[1], score=0.6)]}
    worker = Worker(PoseEstimation(persons_from="detections"), tiny(movenet))
    (answer,) = worker.answer([row])
    names = [[joint["name"] for joint in one["keypoints"]] for one in answer["persons"]]
    assert names == [JOINTS, JOINTS]
    assert answer["persons"][0]["box"]["xmax"] == pytest.approx(60.0)
