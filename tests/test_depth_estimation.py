"""Depths of pictures, as transformers' own post-processing gives them."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from actors.errors import RowRejected
from actors.images import Picture
from actors.seeing.depth import size_within
from actors.seeing.depth_map import depth_of, npy_of, png_of
from actors.stage import Device, ModelFiles, Row
from actors.vision.depth_estimation import DepthEstimation
from actors.worker import Worker
from tests.tiny.seeing import encoded, photo
from tests.tiny.space import depth_anything, dpt, glpn, metric_depth, zoedepth

Build = Callable[..., ModelFiles]
IMAGES = [photo(96, 64, 1), photo(64, 96, 2), photo(96, 64, 3), photo(40, 40, 4)]


def answers(files: ModelFiles, images: list[Image.Image], **options: Any) -> list[Any]:
    rows = [{"image": encoded(image)} for image in images]
    return Worker(DepthEstimation(**options), files).answer(rows)


def depth(answer: Row) -> np.ndarray:
    return depth_of(answer["depth"], answer["depth_min"], answer["depth_max"])


def assert_same(found: np.ndarray, wanted: np.ndarray) -> None:
    """To a hundred thousandth of the range."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.ptp(wanted))


@pytest.mark.parametrize("build", [depth_anything, metric_depth, dpt, glpn])
def test_depths_are_those_of_the_processor_and_of_the_pipeline(build: Any, tiny: Build) -> None:
    files = tiny(build)
    processor = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    model = hf.AutoModelForDepthEstimation.from_pretrained(files.folder).eval()
    pipe = hf.pipeline("depth-estimation", model=model, image_processor=processor)
    for image, answer in zip(IMAGES, answers(files, IMAGES, format="npy"), strict=True):
        with torch.inference_mode():
            out = model(**processor(image, return_tensors="pt"))
        size = (image.height, image.width)
        (wanted,) = processor.post_process_depth_estimation(out, target_sizes=[size])
        for theirs in (wanted, pipe(image)):
            assert_same(depth(answer), theirs["predicted_depth"].numpy())


def test_zoedepth_is_freed_of_its_padding(tiny: Build) -> None:
    files = tiny(zoedepth)
    processor = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    model = hf.AutoModelForDepthEstimation.from_pretrained(files.folder).eval()
    (answer,) = answers(files, IMAGES[:1], format="npy")
    with torch.inference_mode():
        out = model(**processor(IMAGES[0], return_tensors="pt")).predicted_depth
    high, wide = int(np.sqrt(64 / 2) * 3), int(np.sqrt(96 / 2) * 3)
    size = (64 + 2 * high, 96 + 2 * wide)
    whole = torch.nn.functional.interpolate(out[None], size, mode="bicubic")[0, 0]
    assert_same(depth(answer), whole[high:-high, wide:-wide].numpy())
    assert answer["depth_unit"] == "metres"


def test_zoedepth_for_several_kinds_of_scenes_sees_one_picture_at_a_time(tiny: Build) -> None:
    model = DepthEstimation().load(tiny(zoedepth, kinds=2), Device())
    assert model.batching.rows == 1
    assert DepthEstimation().load(tiny(zoedepth), Device()).batching.rows > 1


def test_sixteen_bits_keep_depths_to_a_hundred_thousandth_of_their_range(tiny: Build) -> None:
    files = tiny(metric_depth)
    for png, npy in zip(answers(files, IMAGES), answers(files, IMAGES, format="npy"), strict=True):
        assert np.asarray(Image.open(io.BytesIO(png["depth"]))).dtype == np.uint16
        span = png["depth_max"] - png["depth_min"]
        assert np.abs(depth(png) - depth(npy)).max() <= span * 1e-5
        assert png["depth_unit"] == "metres"


def test_a_map_may_be_smaller_than_its_picture(tiny: Build) -> None:
    found = answers(tiny(dpt), IMAGES, max_side=48)
    sizes = [(one["depth_width"], one["depth_height"]) for one in found]
    assert sizes == [(48, 32), (32, 48), (48, 32), (40, 40)]
    assert [depth(one).shape for one in found] == [(h, w) for w, h in sizes]
    assert {one["depth_unit"] for one in found} == {"relative inverse"}
    assert size_within(Picture(IMAGES[0], 5000, 1), 100) == (1, 100)


def test_a_picture_smaller_than_the_model_can_see_is_rejected(tiny: Build) -> None:
    (answer,) = answers(tiny(glpn), [photo(31, 40)])
    assert isinstance(answer, RowRejected) and answer.reason == "image_too_small"


@pytest.mark.parametrize("build", [dpt, depth_anything, zoedepth])
def test_a_picture_of_which_the_model_would_see_nothing_is_rejected(
    tiny: Build, build: Any
) -> None:
    images = [photo(98, 2), photo(2, 98), photo(96, 64)]
    processor = hf.AutoImageProcessor.from_pretrained(tiny(build).folder, backend="pil")
    found = answers(tiny(build), images)
    for image, answer in zip(images, found, strict=True):
        if processor.keep_aspect_ratio and image.size != (96, 64):
            assert isinstance(answer, RowRejected) and answer.reason == "image_too_narrow"
        else:
            assert (answer["depth_width"], answer["depth_height"]) == image.size


def _claiming(rows: int) -> bytes:
    """A file of NumPy's that has fewer numbers than it says."""
    return npy_of(np.zeros((2, 7), np.float32)).replace(
        b"(2, 7), }" + b" " * 13, b"(%d, 7), }" % rows
    )


@pytest.mark.parametrize(
    ("data", "low"),
    [
        (b"no map", 0.0),
        (encoded(photo(8, 8)), 0.0),
        (encoded(photo()), None),
        (encoded(photo(8, 8).convert("L")), 0.0),
        (png_of(np.eye(4, dtype=np.float32)), float("inf")),
        (_claiming(10**13), 0.0),
    ],
)
def test_a_map_that_is_none_is_rejected(data: bytes, low: float | None) -> None:
    with pytest.raises(RowRejected, match="bad_depth") as caught:
        depth_of(data, low, 1.0)
    assert " at 0x" not in str(caught.value)
