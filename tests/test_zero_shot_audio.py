"""zero-shot-audio-classification equals transformers' pipeline, and never cuts at random."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import transformers as hf
from pydantic import ValidationError

from actors import sound
from actors.audio.zero_shot_audio_classification import ZeroShotAudioClassification
from actors.stage import ModelFiles, Row
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import listen
from tests.tiny.voices import RECORDINGS, buzz, tone, wav

Build = Callable[..., ModelFiles]
LABELS = ("a dog", "a siren in the street", "rain", "{}")
RATE = 48_000
SHORT: list[Row] = [RECORDINGS[0], RECORDINGS[2], {"audio": wav(tone(1.0, 900, RATE), RATE)}]


def hear(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(ZeroShotAudioClassification(labels=LABELS, **options), files).answer(rows)


def heard_alone(files: ModelFiles, samples: list[Any], template: str) -> list[Any]:
    pipeline = hf.pipeline("zero-shot-audio-classification", model=str(files.folder), device="cpu")
    settings: Any = {"candidate_labels": list(LABELS), "hypothesis_template": template}
    found = [pipeline(one, **settings) for one in samples]
    return [[{"label": s["label"], "score": s["score"]} for s in scores] for scores in found]


@pytest.mark.parametrize("fusion", [False, True])
@pytest.mark.parametrize("template", ["This is a sound of {}.", "{}"])
def test_scores_equal_the_pipeline(fusion: bool, template: str, tiny: Build) -> None:
    files = tiny(listen.clap, fusion=fusion)
    samples = [sound.decode(row["audio"], RATE)[0] for row in SHORT]
    expected = heard_alone(files, samples, template)
    answers = hear(files, SHORT, hypothesis_template=template)
    assert_close([answer["scores"] for answer in answers], expected, 1e-5)
    assert [answer["label"] for answer in answers] == [scores[0]["label"] for scores in expected]


@pytest.mark.parametrize("fusion", [False, True])
def test_a_long_recording_is_heard_in_windows_and_always_alike(fusion: bool, tiny: Build) -> None:
    files, samples = tiny(listen.clap, fusion=fusion), buzz(2.6, 700, 3, RATE)
    starts = [0, RATE, len(samples) - RATE]
    pieces = [samples[start : start + RATE] for start in starts]
    windows = heard_alone(files, pieces, "This is a sound of {}.")
    (first,), (again,) = [hear(files, [{"audio": wav(samples, RATE)}]) for _ in range(2)]
    by_label = [{s["label"]: s["score"] for s in scores} for scores in windows]
    mean = {label: np.mean([one[label] for one in by_label]) for label in LABELS}
    assert first == again
    assert_close({s["label"]: s["score"] for s in first["scores"]}, mean, 1e-5)
    assert_close([w["start"] for w in first["windows"]], [0.0, 1.0, 1.6], 1e-6)
    assert_close([w["score"] for w in first["windows"]], [w[0]["score"] for w in windows], 1e-5)


def test_labels_that_cannot_be_told_apart_are_refused() -> None:
    for labels, why in [(("a",), "at least two"), (("a", " "), "blank"), (("a", "a"), "twice")]:
        with pytest.raises(ValidationError, match=why):
            ZeroShotAudioClassification(labels=labels)
    with pytest.raises(ValidationError, match="must hold"):
        ZeroShotAudioClassification(labels=("a", "b"), hypothesis_template="sounds")


def test_silence_and_one_sample_are_answered(tiny: Build) -> None:
    silent = [{"audio": wav(np.zeros(n, np.float32), RATE)} for n in (1, RATE)]
    assert all(np.isfinite(answer["score"]) for answer in hear(tiny(listen.clap), silent))
