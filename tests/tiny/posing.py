"""Tiny models that find the joints of persons."""

from pathlib import Path
from typing import Any

import transformers as hf

from actors.detections import box_of
from actors.stage import ModelFiles
from tests.tiny.case import Case, Row
from tests.tiny.detect import rt_detr_v2, same_each_time
from tests.tiny.seeing import NO_PICTURES, PICTURES, SIZE, saved
from tests.tiny.text import labelled

JOINTS = ["nose", "eye", "ear", "hand", "foot"]


@same_each_time
def vitpose(folder: Path) -> Path:
    backbone = hf.VitPoseBackboneConfig(
        image_size=[64, 48], patch_size=[16, 16], out_features=["stage2"], **SIZE
    )
    config = hf.VitPoseConfig(backbone_config=backbone, **labelled(JOINTS))
    processor = hf.VitPoseImageProcessorPil(size={"height": 64, "width": 48})
    return saved(folder, hf.VitPoseForPoseEstimation(config), processor)


def with_detector(folder: Path) -> ModelFiles:
    """A model of poses, and a detector beside it."""
    for name in ("poses", "detector"):
        (folder / name).mkdir()
    return ModelFiles(vitpose(folder / "poses"), {"detector": rt_detr_v2(folder / "detector")})


def place(edges: Any, label: str = "person", score: float | None = 0.9) -> Row:
    """A detection, as a stage before gives it."""
    return {"label": label, "score": score, "box": edges and box_of(edges)}


PEOPLE: list[list[Row]] = [
    [place((5, 8, 60, 50)), place((30, 2, 95, 60), score=0.7)],
    [place((3, 3, 50, 90))],
    [place((10, 10, 30, 38)), place((0, 0, 20, 20), "cat"), place((2, 2, 38, 30), score=0.6)],
    [],
    [place((1, 1, 19, 29))],
]
BAD = {
    **{reason: {**row, "detections": PEOPLE[0]} for reason, row in NO_PICTURES.items()},
    "no_box": {**PICTURES[0], "detections": [place(None)]},
}
CASES: dict[str, Case] = {
    # A detector's boxes differ by rounding between batches, and joints of random models by more.
    "pose-estimation": Case(
        with_detector,
        [{**row, "detections": people} for row, people in zip(PICTURES, PEOPLE, strict=True)],
        BAD,
        {"persons_from": "detections"},
    ),
}
