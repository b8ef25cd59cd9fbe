"""The listener: which recordings may share a batch, what is too short, what models hear at once."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import transformers as hf

from actors.errors import RowRejected
from actors.listening.families import PADDING_IS_EXACT, RAW
from actors.listening.listener import Listener
from actors.listening.windows import spans
from actors.stage import Batching, Device, Item, ModelFiles
from tests.tiny import listen
from tests.tiny.voices import RATE, buzz

Build = Callable[..., ModelFiles]
SOUNDS = [buzz(1.0, 120, 1), buzz(1.7, 200, 2), buzz(1.0, 320, 3)]


def listener_of(files: ModelFiles) -> Listener:
    return Listener(hf.AutoModelForAudioClassification, files.folder, Device())


def alone(listener: Listener, items: list[Item]) -> np.ndarray:
    return np.concatenate([listener.logits([item]) for item in items])


@pytest.mark.parametrize("family", sorted(PADDING_IS_EXACT))
def test_padding_does_not_change_a_family_that_is_said_to_bear_it(family: str, tiny: Build) -> None:
    listener = listener_of(tiny(listen.raw_classifier, family=family))
    items = [listener.features(samples) for samples in SOUNDS]
    expected = alone(listener, items)
    assert listener.config.model_type == family
    assert listener.batching.rule == "length"
    assert np.ptp(expected, axis=0).max() > 0.1  # the recordings are told apart
    assert np.abs(listener.logits(items) - expected).max() < 1e-5


@pytest.mark.parametrize("family", sorted(RAW))
def test_any_other_raw_model_only_meets_recordings_of_its_length(family: str, tiny: Build) -> None:
    norm = "group" if family in PADDING_IS_EXACT else "layer"
    listener = listener_of(tiny(listen.raw_classifier, family=family, norm=norm))
    first, longer, second = [listener.features(samples) for samples in SOUNDS]
    assert listener.batching.rule == "shape"
    assert first.shape == second.shape != longer.shape
    together = listener.logits([first, second])
    assert np.abs(together - alone(listener, [first, second])).max() < 1e-5


@pytest.mark.parametrize("build", [listen.ast, listen.whisper_classifier])
def test_recordings_become_spectrograms_of_one_size(build: Any, tiny: Build) -> None:
    listener = listener_of(tiny(build))
    items = [listener.features(samples) for samples in SOUNDS]
    assert len({item.shape for item in items}) == 1
    assert np.abs(listener.logits(items) - alone(listener, items)).max() < 1e-5


def test_a_batch_on_a_cpu_is_bound_by_seconds(tiny: Build) -> None:
    layered = listener_of(tiny(listen.raw_classifier))
    assert layered.batching == Batching("length", rows=32, budget=5 * RATE)
    assert layered.features(SOUNDS[0]).cost == RATE


@pytest.mark.parametrize(
    ("build", "settings", "least"),
    [
        (listen.raw_classifier, {}, 400),
        (listen.raw_classifier, {"conv_kernel": (10, 3, 3, 3, 3, 2, 1)}, 240),
        (listen.ast, {}, 400),
        (listen.whisper_classifier, {}, 1),
    ],
)
def test_less_than_one_frame_is_too_short(
    build: Any, settings: dict[str, Any], least: int, tiny: Build
) -> None:
    listener = listener_of(tiny(build, **settings))
    assert listener.shortest == least
    assert np.isfinite(listener.logits([listener.features(SOUNDS[0][:least])])).all()
    with pytest.raises(RowRejected, match="audio_too_short"):
        listener.features(SOUNDS[0][: least - 1])


def test_what_a_model_hears_at_once(tiny: Build) -> None:
    builds = (listen.ast, listen.whisper_classifier, listen.raw_classifier)
    assert [listener_of(tiny(build)).longest for build in builds] == [20_480, 32_000, None]


def test_a_model_that_hears_so_much_loses_nothing_of_it(tiny: Build) -> None:
    for build in (listen.ast, listen.whisper_classifier):
        listener = listener_of(tiny(build))
        assert listener.longest is not None
        sounds = np.tile(SOUNDS[0], 3)[: listener.longest].copy()
        whole = listener.features(sounds).data
        sounds[-480:] += 0.3
        assert not np.allclose(listener.features(sounds).data, whole)


def test_windows_cover_a_recording_and_are_equally_long() -> None:
    assert spans(10, 10, 10) == [(0, 10)]
    assert spans(3, 10, 5) == [(0, 3)]
    assert spans(20, 10, 10) == [(0, 10), (10, 20)]
    assert spans(21, 10, 10) == [(0, 10), (10, 20), (11, 21)]
    assert spans(12, 4, 3) == [(0, 4), (3, 7), (6, 10), (8, 12)]
