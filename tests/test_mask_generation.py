"""Masks of marked objects and of everything, as Segment Anything makes them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from actors.errors import RowRejected
from actors.seeing.masks import Mask
from actors.seeing.prompted import Found, apart
from actors.stage import ModelFiles, Row
from actors.vision.mask_generation import MaskGeneration
from actors.worker import Worker
from tests.tiny.seeing import encoded, photo
from tests.tiny.space import sam

Build = Callable[..., ModelFiles]
IMAGE = photo(96, 64, 1)
BOXES = [[4.0, 6.0, 40.0, 50.0], [30.0, 10.0, 90.0, 60.0]]
SIDES = ("xmin", "ymin", "xmax", "ymax")


def answer(files: ModelFiles, row: Row, **options: Any) -> Any:
    return Worker(MaskGeneration(**options), files).answer([{"image": encoded(IMAGE), **row}])[0]


class Plain:
    """The same model, called the plain transformers way."""

    def __init__(self, files: ModelFiles) -> None:
        self.images = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
        self.processor = hf.SamProcessor(self.images)
        self.model = hf.SamModel.from_pretrained(files.folder).eval()

    def masks(self, **prompts: Any) -> tuple[np.ndarray, np.ndarray]:
        """Masks (prompts, 3, height, width) and scores (prompts, 3)."""
        made = self.processor(images=IMAGE, return_tensors="pt", **prompts)
        sizes = made.pop("original_sizes"), made.pop("reshaped_input_sizes")
        with torch.inference_mode():
            out = self.model(**{name: value.float() for name, value in made.items()})
        (masks,) = self.images.post_process_masks(out.pred_masks, *sizes)
        return masks.numpy(), out.iou_scores[0].numpy()

    def everything(self, side: int) -> tuple[list[Any], torch.Tensor]:
        """What transformers' pipeline keeps before it compares boxes."""
        boxes, points, _, labels = self.images.generate_crop_boxes(IMAGE, 64, points_per_crop=side)
        made = self.images(IMAGE, return_tensors="pt")
        with torch.inference_mode():
            out = self.model(
                pixel_values=made["pixel_values"],
                input_points=points[:, :, :1].transpose(1, 1).float(),
                input_labels=labels,
            )
        masks = self.images.post_process_masks(
            out.pred_masks, made["original_sizes"], made["reshaped_input_sizes"], binarize=False
        )
        kept, scores, _ = self.images.filter_masks(
            masks[0], out.iou_scores[0], (64, 96), boxes[0], 0.1, 0.01
        )
        return kept, scores


def pixels(one: Row) -> np.ndarray:
    return Mask.read(one["rle"]).pixels()


def test_boxes_are_outlined_as_by_the_plain_model(tiny: Build) -> None:
    files = tiny(sam)
    masks, scores = Plain(files).masks(input_boxes=[BOXES])
    boxes = [dict(zip(SIDES, box, strict=True)) for box in BOXES]
    found = answer(files, {"boxes": boxes}, choose="all")["masks"]
    assert [one["prompt"] for one in found] == [0, 0, 0, 1, 1, 1]
    for n in range(2):
        for mine, k in zip(found[3 * n : 3 * n + 3], np.argsort(-scores[n]), strict=True):
            assert (pixels(mine) == masks[n, k]).all()
            assert mine["score"] == pytest.approx(np.clip(scores[n, k], 0, 1), abs=1e-5)
            assert mine["area"] == masks[n, k].sum()


def test_what_a_stage_before_found_is_outlined_as_its_boxes_are(tiny: Build) -> None:
    files = tiny(sam)
    boxes = [dict(zip(SIDES, box, strict=True)) for box in BOXES]
    things = {"detections": [{"box": box} for box in boxes]}
    assert answer(files, things) == answer(files, {"boxes": boxes})
    assert answer(files, {"boxes": boxes[:1], "detections": things["detections"][1:]}) == answer(
        files, things
    )
    assert answer(files, {"detections": []}) == {"masks": [], "masks_left_out": 0}
    assert answer(files, {"detections": [{"box": None}]}).reason == "no_box"


def test_points_mark_objects_each_or_one_together(tiny: Build) -> None:
    files, places = tiny(sam), [[10.0, 12.0], [70.0, 30.0]]
    points = [{"x": x, "y": y} for x, y in places]
    plain = Plain(files)
    each, scores = plain.masks(input_points=[[[p] for p in places]], input_labels=[[[1], [1]]])
    found = answer(files, {"points": points})["masks"]
    for n, mine in enumerate(found):
        assert (pixels(mine) == each[n, scores[n].argmax()]).all()
    points[1]["positive"] = False
    both, scores = plain.masks(input_points=[[places]], input_labels=[[[1, 0]]])
    (mine,) = answer(files, {"points": points}, points_mark="together")["masks"]
    assert (pixels(mine) == both[0, scores[0].argmax()]).all()


def test_everything_is_what_the_pipeline_finds(tiny: Build) -> None:
    files = tiny(sam)
    options = {"points_per_side": 4, "min_score": 0.1, "min_stability": 0.01, "max_overlap": 1.0}
    found = answer(files, {}, prompts_at_once=5, **options)["masks"]
    rles, scores = Plain(files).everything(4)
    order = torch.argsort(-scores, stable=True).tolist()
    assert len(found) == len(order) > 4
    assert [one["score"] for one in found] == pytest.approx(
        scores[order].clamp(0, 1).tolist(), abs=1e-5
    )
    assert [one["rle"]["counts"] for one in found] == [rles[n]["counts"] for n in order]


def test_a_picture_in_which_nothing_is_sure_has_no_masks(tiny: Build) -> None:
    found = answer(tiny(sam), {}, points_per_side=2, min_score=1.0)
    assert found == {"masks": [], "masks_left_out": 0}


def test_boxes_of_another_stage_are_prompts_as_any(tiny: Build) -> None:
    files, boxes = tiny(sam), [dict(zip(SIDES, box, strict=True)) for box in BOXES]
    things = [{"label": "cat", "score": 0.9, "box": box} for box in boxes]
    assert answer(files, {"detections": things}) == answer(files, {"boxes": boxes})
    empty = answer(files, {"boxes": [dict(zip(SIDES, (9, 9, 9, 20), strict=True))]})
    assert isinstance(empty, RowRejected) and empty.reason == "no_box"


def test_of_masks_that_overlap_the_best_is_kept() -> None:
    def found(xmin: int, xmax: int, score: float) -> Found:
        inside = np.zeros((10, 20), dtype=bool)
        inside[2:8, xmin:xmax] = True
        return Found(Mask.of(inside), score, 1.0, 0)

    three = [found(0, 10, 0.5), found(1, 10, 0.9), found(12, 18, 0.1)]
    assert [one.score for one in apart(three, 0.7)] == [0.9, 0.1]
    assert [one.score for one in apart(three, 0.95)] == [0.9, 0.5, 0.1]
    assert apart([], 0.5) == []


def test_masks_beyond_the_most_are_counted(tiny: Build) -> None:
    boxes = [dict(zip(SIDES, box, strict=True)) for box in BOXES]
    found = answer(tiny(sam), {"boxes": boxes}, max_masks=1, masks="none")
    assert (len(found["masks"]), found["masks_left_out"]) == (1, 1)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"points": [{"x": 97, "y": 3}]}, "not in a picture of 96 x 64"),
        ({"points": [{"x": float("nan"), "y": 3}]}, "nan, 3 is not in"),
        ({"points": [{"x": 7, "y": 3, "positive": False}]}, "only by points outside"),
        ({"points": [None]}, "a point is null"),
    ],
)
def test_prompts_that_mark_nothing_are_rejected(row: Row, why: str, tiny: Build) -> None:
    found = answer(tiny(sam), row)
    assert isinstance(found, RowRejected) and found.reason == "bad_prompt"
    assert why in found.message


def test_later_models_are_refused_with_what_they_need() -> None:
    found = MaskGeneration().check({"architectures": ["Sam2Model"], "model_type": "sam2"})
    assert found is not None and "torchvision" in found
