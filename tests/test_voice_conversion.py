"""voice-conversion: what the plain model says of each part, in any batch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from actors import sound
from actors.audio.voice_conversion import VoiceConversion
from actors.errors import RowRejected
from actors.noise import drawn_from
from actors.sound import Samples
from actors.stage import Device, ModelFiles
from actors.voices.windows import quiet_parts
from actors.worker import Worker
from tests.tiny import speaking
from tests.tiny.voices import RATE, buzz, tone, wav

Build = Callable[..., ModelFiles]
SPEAKER = (1.0, -2.0, 0.5, 0.0)


def answer(files: ModelFiles, samples: Samples, rate: int = RATE, **options: Any) -> Any:
    worker = Worker(VoiceConversion(**options), files)
    return worker.answer([{"audio": wav(samples, rate)}])[0]


def converted(files: ModelFiles, samples: Samples, rate: int = RATE, **options: Any) -> Samples:
    found = answer(files, samples, rate, **options)
    heard, header = sound.decode(found["converted_audio"])
    assert (found["sampling_rate"], found["seconds"]) == (
        header.rate,
        pytest.approx(header.seconds),
    )
    return heard


def test_speech_is_said_again_as_transformers_says_it(tiny: Build) -> None:
    files, samples = tiny(speaking.converter), buzz(0.8)
    model = hf.SpeechT5ForSpeechToSpeech.from_pretrained(files.folder).eval()
    vocoder = hf.SpeechT5HifiGan.from_pretrained(files.others["vocoder"]).eval()
    heard = hf.SpeechT5FeatureExtractor()(samples, sampling_rate=RATE, return_tensors="pt")
    with drawn_from(4, Device()):
        plain = model.generate_speech(
            heard.input_values, torch.tensor([SPEAKER]), vocoder=vocoder, maxlenratio=1.5 * 20 / 16
        )
    found = converted(files, samples, seed=4, speaker_embedding=SPEAKER)
    assert np.abs(found - plain.detach().numpy()).max() < 1e-5 + 1 / 32768


def test_one_seed_is_one_answer_and_speakers_differ(tiny: Build) -> None:
    files, samples = tiny(speaking.converter), buzz(0.8)
    first = converted(files, samples)
    assert np.array_equal(converted(files, samples), first)
    assert not np.array_equal(converted(files, samples, seed=1), first)
    assert not np.array_equal(converted(files, samples, speaker_embedding=SPEAKER), first)


def test_an_answer_ends_where_it_is_too_long(tiny: Build) -> None:
    files = tiny(speaking.converter)
    assert len(converted(files, buzz(1.0), stretch=1.0)) <= RATE
    assert len(converted(files, buzz(1.0), stretch=8.0)) <= 8 * RATE


def test_a_long_recording_is_the_sum_of_its_parts(tiny: Build) -> None:
    files, silence = tiny(speaking.converter), np.zeros(800, np.float32)
    spoken = np.concatenate([tone(0.7), silence, buzz(0.9), silence, tone(0.3)])
    parts = quiet_parts(spoken, RATE, 1.0)
    assert [len(part) for part in parts] == [11_360, 15_200, 5_440]  # each cut is in a silence
    each = [converted(files, part) for part in parts]
    assert np.array_equal(converted(files, spoken, part_seconds=1.0), np.concatenate(each))


def test_no_part_is_too_short_to_be_heard() -> None:
    for extra in (1, 100, 4_000, 15_999):
        parts = quiet_parts(buzz((RATE + extra) / RATE), RATE, 1.0)
        assert min(len(part) for part in parts) >= RATE // 4
        assert sum(len(part) for part in parts) == RATE + extra


@pytest.mark.parametrize("rate", [8_000, 96_000])
def test_other_rates_and_eight_channels_are_heard(rate: int, tiny: Build) -> None:
    samples = np.stack([buzz(0.5, rate=rate)] * 8, axis=1)
    assert len(converted(tiny(speaking.converter), samples, rate)) > 0


def test_silence_is_answered_and_what_is_too_short_is_rejected(tiny: Build) -> None:
    files = tiny(speaking.converter)
    assert len(converted(files, np.zeros(RATE, np.float32))) > 0
    for samples, reason in [(0, "no_samples"), (1, "audio_too_short"), (399, "audio_too_short")]:
        rejected = answer(files, np.zeros(samples, np.float32))
        assert isinstance(rejected, RowRejected) and rejected.reason == reason
    assert len(converted(files, np.zeros(400, np.float32))) > 0
