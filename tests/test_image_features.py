"""image-feature-extraction and image-similarity equal plain transformers, family by family."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from actors.errors import StageFailed
from actors.models.embedded import prepare
from actors.seeing.backbones import FAMILIES
from actors.stage import ModelFiles, Row
from actors.vision.image_feature_extraction import ImageFeatureExtraction
from actors.vision.image_similarity import ImageSimilarity
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import comparing, features
from tests.tiny.seeing import PICTURES, encoded, photo

Build = Callable[..., ModelFiles]
ROWS = [PICTURES[n] for n in (0, 1, 2, 4)]
FIRST = {"vit": 1, "deit": 2, "beit": 1, "dinov2": 1, "dinov2_with_registers": 4}
"""Tokens that are no patches."""


def look(files: ModelFiles, rows: list[Row], **options: Any) -> Any:
    answers = Worker(ImageFeatureExtraction(**options), files).answer(rows)
    return np.stack([answer["embedding"] for answer in answers])


def outputs(files: ModelFiles, call: str = "forward") -> list[Any]:
    processor = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    model = hf.AutoModel.from_pretrained(files.folder).eval()
    images = [Image.open(io.BytesIO(row["image"])).convert("RGB") for row in ROWS]
    with torch.inference_mode():
        return [getattr(model, call)(**processor(i, return_tensors="pt")) for i in images]


def pooled(output: Any, pooling: str, first: int = 0) -> Any:
    places = output.last_hidden_state
    if pooling == "pooler":
        return output.pooler_output.flatten(1)[0]
    if pooling == "cls":
        return places[0, 0]
    return places[0, first:].mean(0) if places.dim() == 3 else places[0].mean((-2, -1))


@pytest.mark.parametrize("family", features.CONFIGS)
def test_vectors_equal_plain_transformers(family: str, tiny: Build) -> None:
    files, known = tiny(features.describer, family=family), FAMILIES[family]
    found = outputs(files)
    for pooling in ["auto", "mean", "pooler", *(["cls"] if known.cls else [])]:
        asked = known.usual if pooling == "auto" else pooling
        expected = torch.stack([pooled(o, asked, FIRST.get(family, 0)) for o in found])
        vectors = look(files, ROWS, pooling=pooling, normalize=False)
        assert_close(vectors, expected.numpy(), 1e-5)
    assert np.ptp(vectors, axis=0).max() > 0.01, "the pictures tell nothing apart"


@pytest.mark.parametrize("build", [features.eye_of_clip, features.eye_of_siglip])
def test_a_vision_tower_alone_gives_its_pooled_output(build: Any, tiny: Build) -> None:
    files = tiny(build)
    expected = torch.stack([pooled(o, "pooler") for o in outputs(files)])
    assert_close(look(files, ROWS, normalize=False), expected.numpy(), 1e-5)


@pytest.mark.parametrize("build", [comparing.clip, comparing.siglip])
def test_clip_and_siglip_give_what_they_compare_with_texts(build: Any, tiny: Build) -> None:
    files = tiny(build)
    raw = torch.stack([o.pooler_output[0] for o in outputs(files, "get_image_features")])
    assert_close(look(files, ROWS, normalize=False), raw.numpy(), 1e-5)
    assert_close(look(files, ROWS), torch.nn.functional.normalize(raw, dim=-1).numpy(), 1e-5)


def test_vectors_equal_the_pipeline(tiny: Build) -> None:
    files = tiny(features.describer, family="vit")
    processor = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    pipeline = hf.pipeline(
        "image-feature-extraction", model=str(files.folder), image_processor=processor, device="cpu"
    )
    images = [Image.open(io.BytesIO(row["image"])).convert("RGB") for row in ROWS]
    found = [pipeline(image)[0][0] for image in images]
    assert_close(look(files, ROWS, normalize=False), found, 1e-5)


@pytest.mark.parametrize("family", ["vit", "efficientnet", "swin"])
def test_a_classifier_s_head_is_left_out(family: str, tiny: Build) -> None:
    files = tiny(features.classifier, family=family)
    first = {"vit": "cls"}.get(family, "pooler")
    expected = torch.stack([pooled(o, first) for o in outputs(files)])
    assert_close(look(files, ROWS, normalize=False), expected.numpy(), 1e-5)


def test_a_pooler_that_was_never_trained_is_refused(tiny: Build) -> None:
    with pytest.raises(StageFailed, match="no weights for pooler"):
        look(tiny(features.classifier, family="vit"), ROWS, pooling="pooler")


def test_a_pooling_that_a_family_does_not_have_is_refused_by_the_plan() -> None:
    swin = {"model_type": "swin", "architectures": ["SwinModel"]}
    clip = {"model_type": "clip", "architectures": ["CLIPModel"]}
    first = ImageFeatureExtraction(pooling="cls")
    assert "swin has no first token" in (first.check(swin) or "")
    assert "leave pooling at auto" in (first.check(clip) or "")
    assert ImageFeatureExtraction().check(clip) is None


@pytest.mark.parametrize("build", [features.dinov2, comparing.clip])
def test_similarity_is_the_cosine_of_the_vectors(build: Any, tiny: Build) -> None:
    files, rows = tiny(build), features.PAIRS
    ones = look(files, rows)
    others = look(files, [{"image": row["other_image"]} for row in rows])
    answers = Worker(ImageSimilarity(), files).answer(rows)
    cosines = (ones * others).sum(-1).tolist()
    assert_close([answer["similarity"] for answer in answers], cosines, 1e-5)


def test_a_picture_is_like_itself(tiny: Build) -> None:
    rows = [{"image": row["image"], "other_image": row["image"]} for row in PICTURES]
    answers = Worker(ImageSimilarity(), tiny(features.dinov2)).answer(rows)
    assert_close([answer["similarity"] for answer in answers], [1.0] * len(rows), 1e-6)
    assert max(answer["similarity"] for answer in answers) <= 1


@pytest.mark.embedded
def test_the_embedded_model_finds_a_picture_s_copy(cache: Path) -> None:
    files = ModelFiles(prepare("efficientnet-lite0", cache))
    one, other = (photo(300, 260, seed) for seed in (1, 2))
    small = encoded(one.resize((150, 130)), "JPEG", quality=60)
    rows = [{"image": encoded(picture), "other_image": small} for picture in (one, other)]
    same, different = Worker(ImageSimilarity(), files).answer(rows)
    assert same["similarity"] > 0.7 > different["similarity"]
