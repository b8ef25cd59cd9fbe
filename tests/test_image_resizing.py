"""image-resizing: smaller, upright, in one format."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from actors.errors import RowRejected
from actors.stage import ModelFiles, Row
from actors.vision.image_resizing import ImageResizing
from actors.worker import Worker
from tests.tiny.seeing import encoded, photo


def answered(file: bytes, **options: Any) -> Row | RowRejected:
    (answer,) = Worker(ImageResizing(**options), ModelFiles.none()).answer([{"image": file}])
    return answer


def resized(file: bytes, **options: Any) -> tuple[Image.Image, Row]:
    answer = answered(file, **options)
    assert isinstance(answer, dict)
    return Image.open(io.BytesIO(answer["resized"])), answer


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"max_side": 48}, (48, 32)),
        ({"max_side": 500}, (96, 64)),
        ({"width": 30}, (30, 20)),
        ({"height": 128}, (192, 128)),
        ({"width": 32, "height": 32}, (32, 32)),
        ({}, (96, 64)),
    ],
)
def test_a_picture_gets_the_size_that_is_asked(options: Row, size: tuple[int, int]) -> None:
    image, answer = resized(encoded(photo(96, 64)), **options)
    assert image.size == (answer["width"], answer["height"]) == size


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "bmp"])
def test_every_format_is_written(format: str) -> None:
    image, _ = resized(encoded(photo(96, 64)), format=format, width=40)
    assert image.format == format.upper()
    wanted = np.asarray(photo(96, 64).resize((40, 27), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(np.asarray(image.convert("RGB")) - wanted).mean() < 12


def test_a_photo_is_held_upright_and_its_tag_is_gone() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image, _ = resized(encoded(photo(96, 64), "JPEG", exif=exif), max_side=48)
    assert image.size == (32, 48)
    assert not image.getexif()


def test_reduced_decoding_gives_nearly_the_picture_of_full_decoding() -> None:
    file = encoded(photo(1600, 1200), "JPEG", quality=95)
    near, full = (resized(file, max_side=100, decode=d, format="png") for d in ("reduced", "full"))
    assert near[1]["width"] == full[1]["width"] == 100
    assert np.abs(np.asarray(near[0]).astype(int) - np.asarray(full[0])).mean() < 1.5


def test_a_result_that_its_format_or_the_cap_does_not_allow_is_rejected() -> None:
    file = encoded(photo(96, 64))
    for options in ({"width": 20_000, "height": 8, "format": "webp"}, {"width": 60_000}):
        answer = answered(file, **options)
        assert isinstance(answer, RowRejected) and answer.reason == "image_too_large"


def test_two_sizes_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="'max_side' and 'height' are two sizes; drop one"):
        ImageResizing(max_side=10, height=20)
