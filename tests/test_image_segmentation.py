"""Segments of pictures, as transformers' own post-processing makes them."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from actors.errors import RowRejected, StageFailed
from actors.seeing.masks import Mask
from actors.seeing.segments import classes_of
from actors.stage import Device, ModelFiles, Row
from actors.vision.image_segmentation import ImageSegmentation
from actors.worker import Worker
from tests.tiny.seeing import THINGS, encoded, photo
from tests.tiny.space import LOW, eomt, mask2former, maskformer, segformer

Build = Callable[..., ModelFiles]
IMAGES = [photo(96, 64, 1), photo(64, 80, 2), photo(40, 40, 3)]
PROPOSERS = pytest.mark.parametrize("build", [mask2former, maskformer, eomt])

TIES = 2
"""Pixels where two proposals are equal but for rounding."""


def answers(files: ModelFiles, images: list[Image.Image], **options: Any) -> list[Row]:
    rows = [{"image": encoded(image)} for image in images]
    found = Worker(ImageSegmentation(**options), files).answer(rows)
    assert all(isinstance(one, dict) for one in found), found
    return found


def plain(files: ModelFiles, image: Image.Image, subtask: str, **settings: Any) -> Any:
    """What transformers' post-processing says of one picture."""
    processor = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    auto = hf.AutoModelForUniversalSegmentation
    if "segformer" in str(files.folder):
        auto = hf.AutoModelForSemanticSegmentation
    with torch.inference_mode():
        out = auto.from_pretrained(files.folder)(**processor(image, return_tensors="pt"))
    post = getattr(processor, f"post_process_{subtask}_segmentation")
    return post(out, target_sizes=[(image.height, image.width)], **settings)[0]


def pixels(segment: Row) -> np.ndarray:
    return Mask.read(segment["rle"]).pixels()


def test_classes_are_those_of_the_processor_and_of_the_pipeline(tiny: Build) -> None:
    files = tiny(segformer)
    pipe = hf.pipeline("image-segmentation", str(files.folder))
    for image, answer in zip(IMAGES, answers(files, IMAGES, map=True), strict=True):
        wanted = plain(files, image, "semantic").numpy()
        assert (np.asarray(Image.open(io.BytesIO(answer["map"]))) == wanted).all()
        theirs = pipe(image)
        assert [one["label"] for one in answer["segments"]] == [one["label"] for one in theirs]
        for mine, their in zip(answer["segments"], theirs, strict=True):
            assert (pixels(mine) == (np.asarray(their["mask"]) > 0)).all()
            assert mine["area"] == (wanted == mine["id"]).sum()


@pytest.mark.parametrize("shape", [(7, 5, 6), (40, 1, 9), (3, 8, 1), (1, 4, 4)])
def test_classes_enlarged_one_by_one_are_those_of_all_at_once(shape: tuple[int, ...]) -> None:
    chance = torch.Generator().manual_seed(0)
    for spread in (1.0, 0.05):
        logits = torch.randn(shape[0], 1, 1, generator=chance) * 3
        logits = logits + torch.randn(shape, generator=chance) * spread
        for size in ((20, 30), (3, 4)):
            whole = torch.nn.functional.interpolate(logits[None], size, mode="bilinear")[0]
            assert (classes_of(logits, size) == whole.argmax(0).numpy()).all()


@PROPOSERS
def test_panoptic_segments_are_those_of_the_processor(build: Any, tiny: Build) -> None:
    files = tiny(build)
    bounds = {"threshold": 0.2, "mask_threshold": 0.3, "overlap_mask_area_threshold": 0.1}
    options = {"threshold": 0.2, "mask_threshold": 0.3, "overlap_threshold": 0.1}
    count = 0
    for image, answer in zip(IMAGES, answers(files, IMAGES, **options), strict=True):
        wanted = plain(files, image, "panoptic", **bounds)
        assert len(answer["segments"]) == len(wanted["segments_info"])
        for mine, their in zip(answer["segments"], wanted["segments_info"], strict=True):
            assert mine["label"] == THINGS[their["label_id"]]
            assert mine["score"] == pytest.approx(their["score"], abs=1e-5)
            apart = pixels(mine) != (wanted["segmentation"] == their["id"]).numpy()
            assert apart.sum() <= TIES
            count += 1
    assert count > 3


@PROPOSERS
def test_instances_are_those_of_the_processor(build: Any, tiny: Build) -> None:
    files = tiny(build)
    found = answers(files, IMAGES, subtask="instance", threshold=0.15)
    count = 0
    for image, answer in zip(IMAGES, found, strict=True):
        wanted = plain(files, image, "instance", threshold=0.15)
        infos = sorted(wanted["segments_info"], key=lambda one: -one["score"])
        assert len(answer["segments"]) == len(infos)
        painted = wanted["segmentation"].numpy()
        for mine, their in zip(answer["segments"], infos, strict=True):
            assert mine["label"] == THINGS[their["label_id"]]
            assert mine["score"] == pytest.approx(their["score"], abs=1e-5)
            assert (pixels(mine) >= (painted == their["id"])).all()
            count += 1
    assert count > 3


@pytest.mark.parametrize("build", [mask2former, maskformer])
def test_proposals_vote_for_classes_as_in_the_processor(build: Any, tiny: Build) -> None:
    files = tiny(build)
    for image, answer in zip(IMAGES, answers(files, IMAGES, subtask="semantic"), strict=True):
        wanted = plain(files, image, "semantic").numpy()
        assert {one["id"]: one["area"] for one in answer["segments"]} == {
            int(n): int((wanted == n).sum()) for n in np.unique(wanted)
        }


def test_masks_are_written_as_is_asked_and_the_surest_are_kept(tiny: Build) -> None:
    files, image = tiny(mask2former), IMAGES[:1]
    rle, png, none = (
        answers(files, image, masks=kind, subtask="instance", **LOW)[0]["segments"]
        for kind in ("rle", "png", "none")
    )
    assert len(rle) > 1 and all(one["rle"] is one["mask"] is None for one in none)
    for first, second in zip(rle, png, strict=True):
        assert (np.asarray(Image.open(io.BytesIO(second["mask"]))) == pixels(first)).all()
    (best,) = answers(files, image, subtask="instance", max_segments=1, **LOW)[0]["segments"]
    assert best == rle[0]


def test_parts_of_a_fused_class_are_one_segment(tiny: Build) -> None:
    files = tiny(mask2former)
    apart = [a["segments"] for a in answers(files, IMAGES, **LOW)]
    fused = [a["segments"] for a in answers(files, IMAGES, fuse=THINGS, **LOW)]
    assert sum(map(len, fused)) < sum(map(len, apart))
    for parts, whole in zip(apart, fused, strict=True):
        labels = [one["label"] for one in whole]
        assert len(labels) == len(set(labels))
        assert sum(one["area"] for one in whole) == sum(one["area"] for one in parts)


def test_what_a_model_cannot_do_is_said_at_plan() -> None:
    config = {"architectures": ["UperNetForSemanticSegmentation"], "id2label": {"0": "sky"}}
    assert "no panoptic segments" in str(ImageSegmentation(subtask="panoptic").check(config))
    said = str(ImageSegmentation(fuse=("skye",)).check(config))
    assert "did you mean 'sky'" in said and "it has: " in said
    assert ImageSegmentation(fuse=("sky",)).check(config) is None


def test_nan_is_said_and_not_taken_for_a_class(tiny: Build, tmp_path: Path) -> None:
    folder = tiny(segformer).folder
    model = hf.AutoModelForSemanticSegmentation.from_pretrained(folder)
    torch.nn.init.constant_(model.decode_head.classifier.bias, float("nan"))
    model.save_pretrained(tmp_path)
    hf.AutoImageProcessor.from_pretrained(folder, backend="pil").save_pretrained(tmp_path)
    worker = Worker(ImageSegmentation(), ModelFiles(tmp_path))
    (answer,) = worker.answer([{"image": encoded(IMAGES[0])}])
    assert isinstance(answer, RowRejected) and answer.reason == "not_finite"


def test_pictures_cut_into_patches_are_refused(tmp_path: Path) -> None:
    eomt(tmp_path, do_split_image=True)
    with pytest.raises(StageFailed, match="do_split_image"):
        ImageSegmentation().load(ModelFiles(tmp_path), Device())
