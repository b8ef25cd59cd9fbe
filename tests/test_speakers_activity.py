"""voice-activity-detection: batches, chunks, frame models, and strange recordings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from onnx.reference import ReferenceEvaluator

from actors import sound
from actors.audio.voice_activity_detection import VoiceActivityDetection
from actors.models.embedded import EMBEDDED, prepare
from actors.models.wheel import download, read_out
from actors.speakers import frames, silero
from actors.speakers.frames import FrameDetector
from actors.speakers.silero import SileroDetector
from actors.stage import Device, ModelFiles
from actors.worker import Worker
from tests.close import assert_close
from tests.tiny import speakers
from tests.tiny.voices import buzz, tone, wav

Build = Callable[..., ModelFiles]


def listen(files: ModelFiles, *recordings: bytes, **options: Any) -> list[Any]:
    stage = VoiceActivityDetection(**options)
    return Worker(stage, files).answer([{"audio": data} for data in recordings])


def noises(*seconds: float) -> list[Any]:
    random = np.random.default_rng(0)
    return [0.1 * random.standard_normal(int(s * 16_000)).astype(np.float32) for s in seconds]


def test_a_shorter_recording_hears_nothing_of_what_pads_it(tiny: Build) -> None:
    model = SileroDetector(tiny(speakers.detector).folder, Device())
    items = [model.items(one)[0] for one in noises(0.5, 2.0, 0.0001, 1.0)]
    alone = [model.infer([item])[0] for item in items]
    assert [len(found) for found in alone] == [16, 63, 1, 32]
    assert_close(model.infer(items), alone, 1e-6)


def test_a_long_recording_is_heard_piece_by_piece(
    tiny: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = SileroDetector(tiny(speakers.detector).folder, Device())
    items = [model.items(one)[0] for one in noises(3.0, 1.1)]
    whole = model.infer(items)
    monkeypatch.setattr(silero, "WINDOWS_AT_ONCE", 14)
    assert_close(model.infer(items), whole, 1e-6)


def test_windows_hear_a_little_before_them_and_silence_around_a_recording() -> None:
    samples = np.arange(1, 601, dtype=np.float32)
    first, second = silero.windows_of(samples, 0, 5)
    assert first.tolist() == [0.0] * 64 + samples[:512].tolist()
    assert second.tolist() == samples[448:].tolist() + [0.0] * 424
    assert_close(silero.windows_of(samples, 1, 5), [second], 0)
    assert len(silero.windows_of(samples, 2, 5)) == 0


def test_sound_is_found_between_silences(tiny: Build) -> None:
    data = speakers.talk((1.0, 0), (1.0, 150), (1.0, 0), (0.5, 150))
    (found,) = listen(tiny(speakers.detector), data, padding=0.0)
    assert_close([one["start"] for one in found["segments"]], [1.0, 3.0], 0.05)
    assert found["speech_ratio"] == pytest.approx(found["speech_seconds"] / 3.5)


def test_strange_recordings_are_answered(tiny: Build) -> None:
    eight = np.stack([tone(0.4, 100.0 * (n + 1)) for n in range(8)], axis=1)
    rates = [wav(tone(0.4, rate=rate), rate) for rate in (8_000, 44_100, 96_000)]
    found = listen(tiny(speakers.detector), *rates, wav(eight), wav(np.ones(1, np.float32)))
    assert [len(one["segments"]) for one in found] == [1, 1, 1, 1, 0]


def test_frame_models_answer_as_when_called_plainly(tiny: Build) -> None:
    folder = tiny(speakers.frames).folder
    model = hf.Wav2Vec2ForAudioFrameClassification.from_pretrained(folder).eval()
    extractor = hf.Wav2Vec2FeatureExtractor.from_pretrained(folder)
    samples = buzz(0.7)
    with torch.inference_mode():
        given = extractor(samples, sampling_rate=16_000, return_tensors="pt")
        expected = model(**given).logits[0].sigmoid().max(-1).values.numpy()
    detector = FrameDetector(folder, Device())
    assert_close(detector.chances(detector.infer(detector.items(samples))), expected, 1e-5)


def test_a_label_that_means_speech_can_be_named(tiny: Build) -> None:
    files = tiny(speakers.frames, labels=("noise", "speech", "music"))
    loud, quiet = (listen(files, wav(buzz(1.0)), speech_label=name) for name in ("speech", "noise"))
    assert loud != quiet
    check = VoiceActivityDetection(speech_label="voice").check
    config = {"architectures": ["WavLMForAudioFrameClassification"], "id2label": {"0": "noise"}}
    assert check(config) == "the model has no label 'voice' (labels: noise)"


def test_speakers_keep_their_columns_from_window_to_window(
    tiny: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "WINDOW", 0.2)
    monkeypatch.setattr(frames, "OVERLAP", 0.1)
    detector = FrameDetector(tiny(speakers.frames).folder, Device())
    true = np.random.default_rng(0).random((100, 2), np.float32)
    windows = [true[n * 20 : n * 20 + 40][:, :: -1 if n % 2 else 1] for n in range(4)]
    assert_close(detector.activity(windows), true, 0)


@pytest.mark.embedded
def test_the_embedded_detector_answers_as_its_onnx_file(cache: Path, tmp_path: Path) -> None:
    read_out(download(EMBEDDED["silero-vad"].wheel, tmp_path), "silero_vad/data", tmp_path)
    evaluator = ReferenceEvaluator(str(tmp_path / "silero_vad_16k_op15.onnx"))
    detector = SileroDetector(prepare("silero-vad", cache), Device())
    (samples,) = noises(0.3)
    state, expected = np.zeros((2, 1, 128), np.float32), []
    for window in silero.windows_of(samples, 0, 99):
        given = {"input": window[None], "state": state, "sr": np.array(16_000)}
        chance, state = evaluator.run(None, given)
        expected.append(float(chance[0, 0]))
    assert_close(detector.infer(detector.items(samples))[0], expected, 1e-5)


@pytest.mark.embedded
def test_the_embedded_detector_hears_no_speech_in_noise_tones_and_silence(cache: Path) -> None:
    files = ModelFiles(prepare("silero-vad", cache))
    hiss = sound.encode(noises(2.0)[0], 16_000)
    found = listen(files, hiss, wav(tone(2.0)), wav(0 * tone(2.0)))
    assert [one["segments"] for one in found] == [[], [], []]
