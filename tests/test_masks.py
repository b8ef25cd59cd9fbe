"""Masks as runs, areas, boxes and files."""

import io

import numpy as np
import pytest
from PIL import Image

from actors.seeing.masks import Mask, map_png, parts


def coco_counts(mask: np.ndarray) -> list[int]:
    """The definition: run lengths down the columns, beginning with pixels outside."""
    counts, inside = [0], False
    for pixel in mask.ravel(order="F"):
        if bool(pixel) != inside:
            counts.append(0)
            inside = not inside
        counts[-1] += 1
    return counts


def masks() -> list[np.ndarray]:
    chance = np.random.default_rng(0)
    empty, full = np.zeros((5, 7), bool), np.ones((5, 7), bool)
    corner = empty.copy()
    corner[-1, -1] = True
    first = empty.copy()
    first[0, 0] = True
    wrapping = empty.copy()
    wrapping[4, 2] = wrapping[0, 3] = True
    noise = [chance.random((9, 4)) < share for share in (0.1, 0.5, 0.9)]
    return [empty, full, corner, first, wrapping, *noise]


@pytest.mark.parametrize("pixels", masks())
def test_a_mask_is_encoded_as_coco_defines_it_and_comes_back(pixels: np.ndarray) -> None:
    mask = Mask.of(pixels)
    assert mask.rle() == {"size": list(pixels.shape), "counts": coco_counts(pixels)}
    assert (Mask.read(mask.rle()).pixels() == pixels).all()
    assert mask.area == pixels.sum()
    assert (np.asarray(Image.open(io.BytesIO(mask.png()))) == pixels).all()


@pytest.mark.parametrize("pixels", masks())
def test_the_box_of_a_mask_is_around_its_pixels(pixels: np.ndarray) -> None:
    down, right = np.nonzero(pixels)
    found = tuple(Mask.of(pixels).box.values())
    if not len(down):
        assert found == (0, 0, 0, 0)
    else:
        assert found == (right.min(), down.min(), right.max() + 1, down.max() + 1)


def test_a_map_falls_into_the_masks_of_its_numbers() -> None:
    numbers = np.random.default_rng(1).integers(0, 4, (6, 8)) * 100
    found = parts(numbers)
    assert list(found) == [0, 100, 200, 300]
    assert all((found[n].pixels() == (numbers == n)).all() for n in found)
    assert (np.asarray(Image.open(io.BytesIO(map_png(numbers)))) == numbers).all()
