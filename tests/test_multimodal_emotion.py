"""multimodal-emotion equals the three models' own pipelines, joined by plain arithmetic."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import transformers as hf
from PIL import Image
from pydantic import ValidationError

from actors import sound
from actors.emotions import SEVEN, seven_of
from actors.errors import StageFailed, UsageError
from actors.multimodal.multimodal_emotion import MultimodalEmotion
from actors.stage import Device, ModelFiles
from actors.worker import Worker
from pipelines.file import parse
from pipelines.plan import make_plan
from tests.close import assert_close
from tests.tiny import feeling
from tests.tiny.feeling import ALONE, BOTH
from tests.tiny.voices import RATE

Build = Callable[..., ModelFiles]


def feel(files: ModelFiles, rows: list[Any], **options: Any) -> list[Any]:
    return Worker(MultimodalEmotion(**options), files).answer(rows)


def piped(files: ModelFiles, row: Any) -> dict[str, dict[str, float]]:
    """What each model's pipeline says, summed into the seven emotions."""
    tasks = {"text": "text-classification", "audio": "audio-classification"}
    found = {}
    for name in ("text", "audio", "image"):
        folder = str(files.others[f"{name}_model"])
        task = tasks.get(name, "image-classification")
        if name == "text":
            said = hf.pipeline(task, model=folder, top_k=None)([row["text"]])[0]
        elif name == "audio":
            said = hf.pipeline(task, model=folder, top_k=9)(sound.decode(row["audio"], RATE)[0])
        else:
            image = Image.open(io.BytesIO(row["image"])).convert("RGB")
            eye = hf.AutoImageProcessor.from_pretrained(folder, backend="pil")
            said = hf.pipeline(task, model=folder, image_processor=eye, top_k=9)(image)
        sums = dict.fromkeys({seven_of(one["label"]) for one in said}, 0.0)
        for one in said:
            sums[seven_of(one["label"])] += one["score"]
        found[name] = {label: score / sum(sums.values()) for label, score in sums.items()}
    return found


def joined(said: dict[str, dict[str, float]], weights: dict[str, float]) -> dict[str, float]:
    """The weighted mean of logarithms of each emotion, relative to chance."""
    lifts = {
        emotion: sum(
            weight * np.log(max(said[name][emotion], 1e-3) * len(said[name]))
            for name, weight in weights.items()
            if emotion in said[name]
        )
        for emotion in SEVEN
    }
    powers = {emotion: np.exp(lift / sum(weights.values())) for emotion, lift in lifts.items()}
    return {emotion: power / sum(powers.values()) for emotion, power in powers.items()}


@pytest.mark.parametrize("weights", [{}, {"text": 3.0, "image": 0.5}])
def test_the_three_pipelines_are_joined(weights: dict[str, float], tiny: Build) -> None:
    files, rows = tiny(feeling.three), [BOTH[n] for n in (0, 2)]
    all_weights = {"text": 1.0, "audio": 1.0, "image": 1.0, **weights}
    options = {f"{name}_weight": weight for name, weight in weights.items()}
    for answer, row in zip(feel(files, rows, **options), rows, strict=True):
        said = piped(files, row)
        expected = joined(said, all_weights)
        assert_close({s["label"]: s["score"] for s in answer["scores"]}, expected, 1e-5)
        assert answer["emotion"] == max(expected, key=lambda emotion: expected[emotion])
        own = {one["modality"]: (one["label"], one["score"]) for one in answer["per_modality"]}
        best = {name: max(s.items(), key=lambda pair: pair[1]) for name, s in said.items()}
        assert_close(
            {n: s for n, (_, s) in own.items()}, {n: s for n, (_, s) in best.items()}, 1e-5
        )


def test_one_input_alone_is_its_model_s_own_answer(tiny: Build) -> None:
    voice, face = feel(tiny(feeling.three), ALONE[1:3])
    for answer, name in ((voice, "audio"), (face, "image")):
        (own,) = answer["per_modality"]
        assert own["modality"] == name and own["label"] == answer["emotion"]
        assert own["score"] == pytest.approx(answer["score"], abs=1e-3)
    assert [s["label"] for s in voice["scores"] if s["score"] == 0] == [
        *("disgust", "fear", "surprise")
    ]


def test_an_input_that_is_not_wired_asks_for_no_model(tiny: Build, tmp_path: Path) -> None:
    folder = tiny(feeling.three).others["audio_model"]
    pipeline = {
        "name": "voices",
        "source": {"kind": "audio", "path": "in/"},
        "stages": [{"task": "multimodal-emotion", "options": {"audio_model": str(folder)}}],
        "sink": {"kind": "parquet", "path": "out"},
    }
    schema = pa.schema([("audio", pa.binary())])
    (step,) = make_plan(parse(pipeline, "x"), "x", tmp_path, tmp_path, schema).steps
    assert (list(step.inputs), list(step.others)) == (["audio"], ["audio_model"])
    worker = Worker(step.stage, ModelFiles(Path(), {"audio_model": folder}))
    alone = feel(tiny(feeling.three), ALONE[1:2])
    assert_close(worker.answer([{"audio": ALONE[1]["audio"]}]), alone, 1e-5)


def test_labels_that_are_no_emotions_are_refused_unless_they_are_named(tiny: Build) -> None:
    folder = tiny(feeling.words, labels=("froh", "traurig", "sonst")).folder
    files = ModelFiles(Path(), {"text_model": folder})
    with pytest.raises(StageFailed, match="they are froh, traurig, sonst"):
        MultimodalEmotion().load(files, Device())
    names = {"froh": "happiness", "traurig": "sadness"}
    (answer,) = feel(files, ALONE[:1], names=names)
    assert {s["label"] for s in answer["scores"] if s["score"]} == {"happiness", "sadness"}


def test_options_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValidationError, match="not joyful"):
        MultimodalEmotion(names={"froh": "joyful"})
    assert "it needs a column" in str(MultimodalEmotion().wired((), None))


def test_a_long_text_is_read_as_far_as_its_model_goes(tiny: Build) -> None:
    long = {**ALONE[0], "text": "good " * 500}
    (answer,) = feel(tiny(feeling.three), [long])
    assert answer["text_truncated"] is True
    (rejected,) = feel(tiny(feeling.three), [long], too_long="reject")
    assert rejected.reason == "too_long"


def test_a_model_of_another_kind_is_said(tiny: Build) -> None:
    looks = tiny(feeling.three).others["image_model"]
    with pytest.raises(StageFailed, match="does not open as AutoModelForSequenceClassification"):
        Worker(MultimodalEmotion(), ModelFiles(Path(), {"text_model": looks}))


def test_a_profile_without_default_models_names_the_option(tmp_path: Path) -> None:
    file = {
        "name": "faces",
        "models": "embedded",
        "source": {"kind": "images", "path": "pictures"},
        "stages": [{"task": "multimodal-emotion"}],
        "sink": {"kind": "parquet", "path": "out"},
    }
    flowing = pa.schema([("image", pa.binary())])
    with pytest.raises(UsageError, match=r"options: {image_model: org/name}  or "):
        make_plan(parse(file, "faces"), "faces", tmp_path, tmp_path, flowing)
