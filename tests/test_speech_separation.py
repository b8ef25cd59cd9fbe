"""speech-separation: the plain model's sources, kept apart from window to window."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from actors import sound
from actors.audio.speech_separation import SpeechSeparation
from actors.errors import RowRejected, StageFailed
from actors.stage import Device, ModelFiles, Row
from actors.voices import conv_tasnet
from actors.voices.windows import join, scaled, window_starts
from actors.worker import Worker
from benchmarks import tiny_separator
from tests.tiny import speaking
from tests.tiny.voices import RATE, buzz, tone, wav

Build = Callable[..., ModelFiles]
STEP = 1 / 32768
SOUNDS = [tone(3, pitch) for pitch in (300, 500, 700)]


def separated(files: ModelFiles, row: Row, **options: Any) -> np.ndarray:
    (answer,) = Worker(SpeechSeparation(**options), files).answer([row])
    files_of = [sound.decode(source)[0] for source in answer["sources"]]
    assert answer["n_sources"] == len(files_of)
    return np.stack(files_of)


def reason(files: ModelFiles, row: Row) -> str:
    (answer,) = Worker(SpeechSeparation(), files).answer([row])
    assert isinstance(answer, RowRejected)
    return answer.reason


def test_the_sources_are_the_plain_model_s_as_loud_as_in_the_mixture(tiny: Build) -> None:
    files, mixture = tiny(speaking.conv_tasnet), buzz(0.7)
    model, _ = conv_tasnet.load(files.folder)
    with torch.inference_mode():
        plain = model(torch.from_numpy(mixture)[None])[0].numpy()
    gains = np.linalg.lstsq(plain.T, mixture, rcond=None)[0]
    found = separated(files, {"audio": wav(mixture)})
    assert np.abs(found - plain * gains[:, None]).max() < 1e-5 + STEP


def test_windows_cover_the_recording_and_the_last_one_ends_with_it() -> None:
    assert window_starts(10, 10, 4) == [0]
    assert window_starts(7, 10, 4) == [0]
    assert window_starts(11, 10, 4) == [0, 1]
    assert window_starts(30, 10, 4) == [0, 6, 12, 18, 20]


def test_sources_stay_in_their_channel_whatever_their_order_in_a_window() -> None:
    whole, window = np.stack(SOUNDS), RATE
    starts = window_starts(whole.shape[1], window, 4_000)
    orders = [np.roll([0, 1, 2], number) for number in range(len(starts))]
    parts = [
        whole[order, start : start + window] for order, start in zip(orders, starts, strict=True)
    ]
    assert np.abs(join(parts, starts) - whole).max() < 1e-6


def test_sources_get_the_gains_that_make_up_the_mixture() -> None:
    mixture = SOUNDS[0] + 0.5 * SOUNDS[1]
    found = scaled(np.stack([0.1 * SOUNDS[0], -3 * SOUNDS[1]]), mixture)
    assert np.abs(found - np.stack([SOUNDS[0], 0.5 * SOUNDS[1]])).max() < 1e-5


def test_a_model_that_learned_separates_long_mixtures_that_it_never_heard(tmp_path: Path) -> None:
    model = tiny_separator.trained(steps=60)  # 5 CPU-s; 11.7 dB were seen
    assert tiny_separator.improvement(model) > 5
    conv_tasnet.save(model, tiny_separator.RATE, tmp_path)
    (pair,) = tiny_separator.sounds(1, 5.0, seed=5)
    row = {"audio": wav((0.1 * pair.sum(0)).numpy(), tiny_separator.RATE)}
    options = {"window_seconds": 1.0, "overlap_seconds": 0.5}
    found = separated(ModelFiles(tmp_path), row, **options)
    assert min(tiny_separator.si_sdr(torch.from_numpy(found), pair)) > 5


@pytest.mark.parametrize("rate", [8_000, 44_100, 96_000])
def test_other_rates_and_channels_are_heard_at_the_model_s(rate: int, tiny: Build) -> None:
    samples = np.stack([buzz(0.5, rate=rate)] * 8, axis=1)
    found = separated(tiny(speaking.conv_tasnet), {"audio": wav(samples, rate)})
    assert found.shape == (2, RATE // 2)


def test_silence_stays_silent_and_what_is_too_short_is_rejected(tiny: Build) -> None:
    files = tiny(speaking.conv_tasnet)
    assert not separated(files, {"audio": wav(np.zeros(9_000, np.float32))}).any()
    assert reason(files, {"audio": wav(np.zeros(1, np.float32))}) == "audio_too_short"
    assert reason(files, {"audio": wav(np.zeros(0, np.float32))}) == "no_samples"


def test_windows_that_do_not_go_forward_are_refused() -> None:
    with pytest.raises(ValidationError, match="half of window_seconds at most"):
        SpeechSeparation(window_seconds=2, overlap_seconds=1.5)


def test_a_config_that_does_not_fit_its_weights_is_refused(tiny: Build, tmp_path: Path) -> None:
    conv_tasnet.save(conv_tasnet.ConvTasNet(tiny_separator.SIZE), 8_000, tmp_path)
    path = tmp_path / "config.json"
    config = path.read_text()
    for old, new, said in [
        ('"gLN"', '"cLN"', "norm_type must be 'gLN'"),
        ('"sigmoid"', '"swish"', "activations are relu, sigmoid, linear"),
        ('"bn_chan": 24', '"bn_chan": 25', "do not fit config.json"),
        ('"sampling_rate"', '"rate"', "names no sampling_rate"),
    ]:
        path.write_text(config.replace(old, new))
        with pytest.raises(StageFailed, match=said):
            SpeechSeparation().load(ModelFiles(tmp_path), Device())
