"""Small detectors of our own: what they find, and where."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from actors.images import Picture
from actors.seeing.distances import Found, Level, found
from actors.seeing.nanodet import NanoDet, NanoDetDetector
from actors.seeing.picodet import SIZES, PicoDet, PicoDetDetector
from actors.seeing.point_detector import PointDetector, PointNetwork, Sizes
from actors.stage import Device, ModelFiles

LABELS = {str(n): f"thing {n}" for n in range(3)}
SMALL = {
    "side": 64,
    "stem": 4,
    "blocks": [[4, 1, 1], [8, 1, 2], [16, 1, 2], [32, 1, 2]],
    "width": 8,
    "strides": [8, 16, 32],
    "steps": 4,
}


PAGE = SIZES | {"height": 128, "width": 64, "stem": 4, "channels": 16, "depth": 1}


def nanodet(folder: Path) -> None:
    """A tiny detector that finds things everywhere."""
    saved(folder, NanoDet(len(LABELS), SMALL), SMALL)


def picodet(folder: Path) -> None:
    """A tiny detector of pages that finds things everywhere."""
    saved(folder, PicoDet(len(LABELS), PAGE), PAGE)


def saved(folder: Path, network: PointNetwork, sizes: Sizes) -> None:
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    save_file(network.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(sizes | {"id2label": LABELS}))


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return Image.fromarray(noise)


def seen(image: Image.Image) -> Picture:
    return Picture(image, image.width, image.height)


@pytest.fixture(params=["nanodet", "picodet"])
def detector(tiny: Callable[..., ModelFiles], request: pytest.FixtureRequest) -> PointDetector:
    if request.param == "nanodet":
        return NanoDetDetector(tiny(nanodet).folder, Device())
    return PicoDetDetector(tiny(picodet).folder, Device())


def same(one: Found, other: Found) -> bool:
    return all(np.allclose(a, b, atol=1e-4) for a, b in zip(one, other, strict=True))


def test_a_batch_finds_what_each_picture_alone_has(detector: PointDetector) -> None:
    items = [detector.item(seen(photo(w, h, w))) for w, h in ((80, 50), (50, 80), (7, 7))]
    together = detector.infer(items)
    assert all(len(things.scores) for things in together)
    for item, things in zip(items, together, strict=True):
        assert same(detector.infer([item])[0], things)


def test_boxes_are_in_pixels_of_the_file_however_small_it_was_decoded(
    detector: PointDetector,
) -> None:
    image = photo(64, 48)
    (full,) = detector.infer([detector.item(seen(image))])
    (large,) = detector.infer([detector.item(Picture(image, 640, 480))])
    assert np.allclose(full.boxes * 10, large.boxes, atol=1e-2)
    assert (large.boxes >= 0).all() and (large.boxes <= [640, 480, 640, 480]).all()
    assert (np.diff(full.scores) <= 0).all()


def level(**scores: float) -> Level:
    """A level of 2 x 2 points, 10 pixels apart, whose boxes end 1 stride from their point."""
    all_scores = torch.zeros(2, 2, 2)
    all_scores[0, 0, 0], all_scores[0, 1, 0], all_scores[1, 1, 1] = scores.values()
    distances = torch.full((2, 2, 4, 3), -50.0)
    distances[..., 1] = 50.0
    return Level(10, all_scores, distances.flatten(2))


def test_boxes_reach_from_their_point_as_far_as_the_distances_say() -> None:
    things = found([level(a=0.4, b=0.0, c=0.9)])
    assert things.labels.tolist() == [1, 0]
    assert things.scores.tolist() == pytest.approx([0.9, 0.4])
    assert things.boxes.tolist() == [[5, 5, 25, 25], [-5, -5, 15, 15]]


def test_of_boxes_that_overlap_much_the_best_one_of_a_label_stays() -> None:
    twice = found([level(a=0.4, b=0.3, c=0.2), level(a=0.5, b=0.0, c=0.0)])
    assert [round(float(score), 1) for score in twice.scores] == [0.5, 0.3, 0.2]


def test_nothing_found_is_empty_and_typed() -> None:
    nothing = found([level(a=0.0, b=0.0, c=0.04)])
    assert [part.shape for part in nothing] == [(0,), (0,), (0, 4)]
    assert [str(part.dtype) for part in nothing] == ["int64", "float32", "float32"]
