"""Preparing pictures: the processor's numbers, most of them made on the device."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from actors.errors import RowRejected, StageFailed
from actors.seeing.eye import Eye
from actors.stage import Device
from tests.tiny.seeing import photo, sees

SIZES = [(96, 64), (64, 96), (40, 40), (333, 250), (17, 19)]
SHORT = {"shortest_edge": 40}
PROCESSORS: dict[str, tuple[Any, bool]] = {
    "square": (hf.ViTImageProcessorPil(size={"height": 32, "width": 32}), True),
    "crop": (hf.CLIPImageProcessorPil(size=SHORT, crop_size={"height": 32, "width": 32}), True),
    "crop share": (hf.ConvNextImageProcessorPil(size=SHORT, crop_pct=0.875), True),
    "deit": (hf.DeiTImageProcessorPil(), True),
    "efficientnet": (hf.EfficientNetImageProcessorPil(), False),
    "siglip": (hf.SiglipImageProcessorPil(), True),
    "dpt": (hf.DPTImageProcessorPil(), True),
    "segformer": (hf.SegformerImageProcessorPil(), True),
    "detr": (hf.DetrImageProcessorPil(size={"shortest_edge": 80, "longest_edge": 130}), True),
    "yolos": (hf.YolosImageProcessorPil(size={"shortest_edge": 80, "longest_edge": 130}), True),
    "rt-detr": (hf.RTDetrImageProcessorPil(), True),
    "owlv2": (hf.Owlv2ImageProcessorPil(), False),
    "sam": (hf.SamImageProcessorPil(), False),
    "swin2sr": (hf.Swin2SRImageProcessorPil(), True),
}


def opened(folder: Path, processor: Any) -> Eye:
    processor.save_pretrained(folder)
    return Eye(folder, Device())


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_picture_is_shown_as_the_processor_shows_it(name: str, tmp_path: Path) -> None:
    processor, bytes_only = PROCESSORS[name]
    eye = opened(tmp_path, processor)
    for seed, size in enumerate(SIZES):
        image = photo(*size, seed)
        wanted = processor(image, return_tensors="pt")["pixel_values"]
        pixels = eye.pixels(image)
        assert (pixels.dtype == np.uint8) == bytes_only
        torch.testing.assert_close(eye.tensor([pixels]), wanted, atol=1e-5, rtol=0)


def test_a_picture_much_longer_than_wide_is_rejected(tmp_path: Path) -> None:
    eye = opened(tmp_path, PROCESSORS["crop"][0])
    with pytest.raises(RowRejected, match="1200 x 8 pixels"):
        eye.pixels(photo(1200, 8))


@pytest.mark.parametrize("name", ["crop", "crop share", "efficientnet"])
def test_a_whole_picture_may_be_shown_as_a_square(name: str, tmp_path: Path) -> None:
    PROCESSORS[name][0].save_pretrained(tmp_path)
    eye, image = Eye(tmp_path, Device(), square=28), photo(96, 64)
    mean, std = (torch.tensor(PROCESSORS[name][0].to_dict()[f"image_{n}"]) for n in ("mean", "std"))
    scaled = torch.from_numpy(np.asarray(image.resize((28, 28)), np.float32) / 255)
    wanted = ((scaled - mean) / std).permute(2, 0, 1)[None]
    torch.testing.assert_close(eye.tensor([eye.pixels(image)]), wanted, atol=1e-5, rtol=0)
    assert eye.side == 28


@pytest.mark.parametrize(
    ("name", "side"), [("square", 32), ("crop", 40), ("detr", 80), ("efficientnet", 346)]
)
def test_the_side_that_a_model_is_shown_is_read_from_its_processor(
    name: str, side: int, tmp_path: Path
) -> None:
    assert opened(tmp_path, PROCESSORS[name][0]).side == side


def test_a_folder_without_an_image_processor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="has no image processor that opens"):
        Eye(tmp_path, Device())


def test_a_back_end_that_is_not_installed_is_refused_with_the_one_that_is(tmp_path: Path) -> None:
    sees().save_pretrained(tmp_path)
    with pytest.raises(StageFailed, match="image_backend: pil"):
        Eye(tmp_path, Device(), backend="torchvision")
