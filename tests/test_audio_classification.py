"""audio-classification equals transformers' pipeline, and hears long recordings whole."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from actors import sound
from actors.audio.audio_classification import AudioClassification
from actors.errors import RowRejected, StageFailed
from actors.stage import ModelFiles, Row
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import listen
from tests.tiny.voices import RATE, RECORDINGS, buzz, tone, wav

Build = Callable[..., ModelFiles]
SHORT: list[Row] = RECORDINGS[:3]
"""No longer than the shortest of the models hears at once."""


def hear(files: ModelFiles, rows: list[Row], **options: Any) -> list[Any]:
    return Worker(AudioClassification(**options), files).answer(rows)


def pipeline_of(files: ModelFiles) -> Any:
    return hf.pipeline("audio-classification", model=str(files.folder), device="cpu")


def heard_alone(files: ModelFiles, samples: list[Any]) -> list[Any]:
    """The pipeline's scores, with the keys in our order."""
    pipeline = pipeline_of(files)
    found = [pipeline(one.copy(), top_k=5) for one in samples]
    return [[{"label": s["label"], "score": s["score"]} for s in scores] for scores in found]


def samples_of(row: Row) -> Any:
    return sound.decode(row["audio"], RATE)[0]


@pytest.mark.parametrize(
    ("build", "settings"),
    [
        (listen.ast, {}),
        (listen.whisper_classifier, {}),
        (listen.raw_classifier, {}),
        (listen.raw_classifier, {"norm": "group"}),
        (listen.raw_classifier, {"family": "hubert"}),
        (listen.raw_classifier, {"family": "wavlm", "norm": "group"}),
    ],
)
def test_scores_equal_the_pipeline(build: Any, settings: dict[str, Any], tiny: Build) -> None:
    files = tiny(build, **settings)
    expected = heard_alone(files, [samples_of(row) for row in SHORT])
    answers = hear(files, SHORT)
    assert_close([answer["scores"] for answer in answers], expected, 1e-5)
    assert_close([a["score"] for a in answers], [scores[0]["score"] for scores in expected], 1e-5)
    assert [a["label"] for a in answers] == [scores[0]["label"] for scores in expected]


def test_several_labels_may_hold_where_the_model_says_so(tiny: Build) -> None:
    files = tiny(listen.ast, problem_type="multi_label_classification")
    expected = heard_alone(files, [samples_of(row) for row in SHORT])
    assert_close([answer["scores"] for answer in hear(files, SHORT)], expected, 1e-5)


@pytest.mark.parametrize(
    ("build", "length"), [(listen.ast, 128 * 160), (listen.whisper_classifier, 2 * RATE)]
)
def test_what_is_longer_than_the_model_hears_is_heard_in_windows(
    build: Any, length: int, tiny: Build
) -> None:
    files, samples = tiny(build), buzz(5.3, 300, 4)
    starts = [*range(0, len(samples) - length, length), len(samples) - length]
    windows = heard_alone(files, [samples[start : start + length] for start in starts])
    (answer,) = hear(files, [{"audio": wav(samples)}])
    by_label = [{s["label"]: s["score"] for s in scores} for scores in windows]
    mean = {label: np.mean([one[label] for one in by_label]) for label in by_label[0]}
    assert_close({s["label"]: s["score"] for s in answer["scores"]}, mean, 1e-5)
    places = [{"start": s / RATE, "end": (s + length) / RATE} for s in starts]
    best = [{**p, **scores[0]} for p, scores in zip(places, windows, strict=True)]
    assert_close(answer["windows"], best, 1e-5)


def test_a_window_is_never_longer_than_the_model_hears(tiny: Build) -> None:
    rows: list[Row] = [{"audio": wav(buzz(5.3))}]
    assert hear(tiny(listen.ast), rows, window_seconds=20) == hear(tiny(listen.ast), rows)
    (answer,) = hear(tiny(listen.raw_classifier), rows, window_seconds=2)
    assert_close([w["end"] for w in answer["windows"]], [2.0, 4.0, 5.3], 1e-6)


def test_a_short_recording_is_one_window(tiny: Build) -> None:
    (answer,) = hear(tiny(listen.ast), RECORDINGS[:1])
    (window,) = answer["windows"]
    whole = {"start": 0.0, "end": 0.6, "label": answer["label"], "score": answer["score"]}
    assert_close(window, whole, 1e-6)


def test_a_whisper_model_names_the_language(tiny: Build) -> None:
    files = tiny(listen.whisper)
    model = hf.WhisperForConditionalGeneration.from_pretrained(files.folder).eval()
    extract = hf.AutoFeatureExtractor.from_pretrained(files.folder)
    codes = {number: mark.strip("<|>") for mark, number in listen.LANGUAGES.items()}
    answers = hear(files, SHORT)
    for row, answer in zip(SHORT, answers, strict=True):
        features = extract(samples_of(row), sampling_rate=RATE, return_tensors="pt").input_features
        with torch.inference_mode():
            (token,) = model.detect_language(features, num_segment_frames=200).tolist()
            logits = model(features, decoder_input_ids=torch.tensor([[2]])).logits[0, -1]
        shares = logits[sorted(codes)].softmax(-1).tolist()
        expected = dict(zip([codes[n] for n in sorted(codes)], shares, strict=True))
        assert answer["label"] == codes[token]
        assert_close({s["label"]: s["score"] for s in answer["scores"]}, expected, 1e-5)


def test_a_whisper_model_of_one_language_is_refused(tiny: Build) -> None:
    config = {"architectures": ["WhisperForConditionalGeneration"], "vocab_size": 51864}
    assert "a classifier of recordings" in (AudioClassification().check(config) or "")
    with pytest.raises(StageFailed, match="names no languages"):
        hear(tiny(listen.whisper, languages=False), SHORT)


def test_a_text_classifier_is_refused() -> None:
    config = {"architectures": ["BertForSequenceClassification"], "model_type": "bert"}
    refused = AudioClassification().check(config)
    assert refused is not None and "BertForSequenceClassification (bert)" in refused


@pytest.mark.parametrize("build", [listen.ast, listen.raw_classifier, listen.whisper_classifier])
def test_any_rate_and_any_number_of_channels_is_heard(build: Any, tiny: Build) -> None:
    rates = (8_000, 11_025, 44_100, 48_000, 96_000)
    rows: list[Row] = [{"audio": wav(tone(0.5, 300, rate), rate)} for rate in rates]
    eight = np.tile(tone(0.5, 300)[:, None], (1, 8))
    rows += [{"audio": wav(eight)}, {"audio": wav(np.zeros(RATE, np.float32))}]
    answers = hear(tiny(build), rows)
    assert all(np.isfinite(answer["score"]) for answer in answers)
    assert_close(answers[5], hear(tiny(build), [{"audio": wav(tone(0.5, 300))}])[0], 1e-5)


@pytest.mark.parametrize(
    ("build", "reason"),
    [(listen.ast, "audio_too_short"), (listen.raw_classifier, "audio_too_short")],
)
def test_one_sample_is_too_short(build: Any, reason: str, tiny: Build) -> None:
    rows: list[Row] = [{"audio": wav(np.ones(n, np.float32))} for n in (1, 399, 400)]
    *rejected, answered = hear(tiny(build), rows)
    assert [answer.reason for answer in rejected] == [reason, reason]
    assert not isinstance(answered, RowRejected)


def test_whisper_hears_one_sample(tiny: Build) -> None:
    (answer,) = hear(tiny(listen.whisper_classifier), [{"audio": wav(np.ones(1, np.float32))}])
    assert answer["label"] in listen.SOUNDS
