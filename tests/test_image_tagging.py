"""image-tagging: a model's labels or one's own words, each that passes, as plain transformers."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from PIL import Image
from pydantic import ValidationError

from actors.models.embedded import prepare
from actors.stage import ModelFiles, Row
from actors.vision.image_tagging import ImageTagging
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import comparing, features
from tests.tiny.seeing import PICTURES, encoded, photo

Build = Callable[..., ModelFiles]
ROWS = [PICTURES[n] for n in (0, 1, 2, 4)]
TAGS = ("a disc", "paper", "{}", "Paris")
COLOURS = {"colour": ("red", "blue", "good"), "material": ("wood", "paper")}


def look(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(ImageTagging(**options), files).answer(rows)


def images() -> list[Image.Image]:
    return [Image.open(io.BytesIO(row["image"])).convert("RGB") for row in ROWS]


def piped(task: str, files: ModelFiles, **settings: Any) -> list[Any]:
    processor = hf.AutoImageProcessor.from_pretrained(files.folder, backend="pil")
    pipeline = hf.pipeline(task, model=str(files.folder), image_processor=processor, device="cpu")
    found = pipeline(images(), **settings)
    return [[{"label": s["label"], "score": s["score"]} for s in one] for one in found]


def by_label(found: list[Row]) -> dict[str, float]:
    return {one["label"]: one["score"] for one in found}


@pytest.mark.parametrize("kind", ["multi_label_classification", "single_label_classification"])
def test_a_classifier_s_labels_equal_the_pipeline(kind: str, tiny: Build) -> None:
    files = tiny(features.classifier, family="vit", problem_type=kind)
    expected = piped("image-classification", files)
    answers = look(files, ROWS, threshold=0)
    assert_close([answer["tags"] for answer in answers], expected, 1e-5)


@pytest.mark.parametrize("build", [comparing.clip, comparing.siglip])
def test_own_tags_are_scored_as_by_the_pipeline(build: Any, tiny: Build) -> None:
    files = tiny(build)
    settings = {"candidate_labels": list(TAGS), "hypothesis_template": "This is a photo of {}."}
    expected = piped("zero-shot-image-classification", files, **settings)
    answers = look(files, ROWS, tags=TAGS, threshold=0)
    found = [by_label(answer["tags"]) for answer in answers]
    assert_close(
        [{tag: f[tag] for tag in TAGS} for f in found],
        [{tag: by_label(e)[tag] for tag in TAGS} for e in expected],
        1e-5,
    )
    assert answers[0].keys() == {"tags"}


def test_each_attribute_gets_the_value_that_fits_best(tiny: Build) -> None:
    files = tiny(comparing.clip)
    processor = hf.AutoProcessor.from_pretrained(files.folder, backend="pil")
    model = hf.AutoModel.from_pretrained(files.folder).eval()
    answers = look(files, ROWS, attributes=COLOURS, attribute_template="{value} {attribute}")
    assert answers[0].keys() == {"attributes"}
    for image, answer in zip(images(), answers, strict=True):
        for (name, values), found in zip(COLOURS.items(), answer["attributes"], strict=True):
            texts = [f"{value} {name}" for value in values]
            inputs = processor(images=image, text=texts, return_tensors="pt", padding=True)
            with torch.inference_mode():
                shares = model(**inputs).logits_per_image[0].softmax(-1).tolist()
            best = {"attribute": name, "value": values[shares.index(max(shares))]}
            assert_close(found, {**best, "score": max(shares)}, 1e-5)


def test_only_what_passes_is_kept_and_no_more_than_asked_for(tiny: Build) -> None:
    files = tiny(features.classifier, family="vit", problem_type="multi_label_classification")
    (every,) = look(files, ROWS[:1], threshold=0)
    scores = [tag["score"] for tag in every["tags"]]
    assert scores == sorted(scores, reverse=True)
    assert look(files, ROWS[:1], threshold=scores[2])[0]["tags"] == every["tags"][:3]
    assert look(files, ROWS[:1], threshold=0, top_k=2)[0]["tags"] == every["tags"][:2]
    assert look(files, ROWS[:1], threshold=1)[0]["tags"] == []


def test_options_and_a_model_that_do_not_fit_are_refused_by_the_plan() -> None:
    classifier = {"architectures": ["ViTForImageClassification"], "model_type": "vit"}
    clip = {"architectures": ["CLIPModel"], "model_type": "clip"}
    assert "leave tags and attributes out" in (ImageTagging(tags=TAGS).check(classifier) or "")
    assert "options: {tags:" in (ImageTagging().check(clip) or "")
    assert ImageTagging().check(classifier) is None
    assert ImageTagging(attributes=COLOURS).check(clip) is None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"tags": ("a", "a")}, "twice"),
        ({"tags": ("a", " ")}, "blank"),
        ({"attributes": {"colour": ("red",)}}, "two values or more"),
        ({"tag_template": "a photo"}, "must hold {} once"),
        ({"attribute_template": "a {attribute}"}, "must hold {value} once"),
    ],
)
def test_words_that_cannot_be_told_apart_are_refused(options: Any, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        ImageTagging(**options)


@pytest.mark.embedded
def test_the_embedded_model_s_labels_are_tags(cache: Path) -> None:
    files = ModelFiles(prepare("efficientnet-lite0", cache))
    (answer,) = look(files, [{"image": encoded(photo(300, 260))}], threshold=0)
    assert len(answer["tags"]) == 20
