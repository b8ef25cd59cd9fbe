"""Decoding sound: formats, rates, channels, and everything that is wrong with a file."""

import struct

import numpy as np
import pytest
import soundfile

from actors import sound
from actors.errors import RowRejected
from tests.tiny.voices import buzz, tone, wav

KINDS = [
    ("WAV", "PCM_16", 1e-4),
    ("WAV", "FLOAT", 0.0),
    ("FLAC", "PCM_16", 1e-4),
    ("OGG", "VORBIS", 0.1),
    ("OGG", "OPUS", 0.1),
    ("MP3", "MPEG_LAYER_III", 0.1),
    ("AIFF", "PCM_16", 1e-4),
]
"""Format, coding, and how far its samples may be from what was written."""


def reason(data: bytes | None, **options: float) -> str:
    with pytest.raises(RowRejected) as caught:
        sound.decode(data, **options)
    return caught.value.reason


@pytest.mark.parametrize(("kind", "subtype", "off"), KINDS)
def test_a_file_of_any_kind_gives_its_samples(kind: str, subtype: str, off: float) -> None:
    samples = tone(1.0, rate=48_000)
    heard, header = sound.decode(sound.encode(samples, 48_000, kind, subtype))
    assert header == sound.Header(1.0, 48_000, 1)
    assert heard.dtype == np.float32 and len(heard) == len(samples)
    begun = slice(5_000, -5_000)  # Opus fades in and out
    assert np.abs(heard - samples)[begun].max() <= off


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_any_rate_is_resampled_to_the_wanted_one(rate: int) -> None:
    heard, header = sound.decode(wav(tone(1.5, rate=rate), rate), 16_000)
    assert header.rate == rate
    assert len(heard) == pytest.approx(24_000, abs=1)
    middle = slice(2_000, 20_000)  # a resampler rings where a tone begins and ends
    assert np.abs(heard[middle] - tone(1.5)[middle]).max() < 1e-3


def test_resampling_in_blocks_is_resampling_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    data = wav(buzz(2.0, rate=44_100), 44_100)
    whole, _ = sound.decode(data, 16_000)
    monkeypatch.setattr(sound, "BLOCK", 1_000)
    assert np.abs(sound.decode(data, 16_000)[0] - whole).max() < 1e-6


def test_channels_are_mixed_or_one_is_chosen() -> None:
    voices = np.stack([tone(0.5, 100.0 * (n + 1)) for n in range(8)], axis=1)
    data = wav(voices)
    assert np.abs(sound.decode(data)[0] - voices.mean(axis=1)).max() < 1e-6
    assert np.array_equal(sound.decode(data, channel=7)[0], voices[:, 7])
    assert reason(data, channel=8) == "no_such_channel"


@pytest.mark.parametrize(("kind", "subtype"), [kind[:2] for kind in KINDS])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_file_that_was_cut_is_never_taken_for_a_shorter_one(
    kind: str, subtype: str, kept: float
) -> None:
    data = sound.encode(buzz(3.0, rate=48_000), 48_000, kind, subtype)
    assert reason(data[: int(len(data) * kept)]) in ("truncated_audio", "unreadable_audio")


def test_a_wav_whose_recorder_never_knew_its_length_is_read_to_its_end() -> None:
    data = bytearray(wav(tone(0.5), subtype="PCM_16"))
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", 0xFFFFFFFF)
    assert len(sound.decode(bytes(data))[0]) == 8_000


def test_one_sample_is_a_recording_and_none_is_not() -> None:
    assert sound.decode(wav(np.ones(1, np.float32)))[0].tolist() == [1.0]
    assert reason(wav(np.zeros(0, np.float32))) == "no_samples"


def test_a_recording_over_the_cap_is_refused_by_its_header() -> None:
    data = wav(np.zeros((16_000, 8), np.float32))
    assert sound.inspect(data, 8.0) == sound.Header(1.0, 16_000, 8)
    assert reason(data, max_seconds=7.9) == "audio_too_long"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(bad: float) -> None:
    assert reason(wav(np.array([0.1, bad], np.float32))) == "not_finite"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (None, "null_input"),
        ("text", "wrong_type"),
        (b"", "empty_file"),
        (b"\0" * 100, "unreadable_audio"),
        (b"RIFF\xff\xff\xff\xffWAVEdata", "unreadable_audio"),
        (b"OggS", "truncated_audio"),
        (b"fLaC" + b"\xff" * 60, "unreadable_audio"),
    ],
)
def test_what_is_no_recording_has_a_reason(data: bytes | None, code: str) -> None:
    assert reason(data) == code


def test_damage_never_escapes_as_another_error() -> None:
    random = np.random.default_rng(0)
    for kind, subtype, _ in KINDS:
        whole = sound.encode(buzz(0.3, rate=48_000), 48_000, kind, subtype)
        for _ in range(40):
            data = bytearray(whole)
            for place in random.integers(0, len(data), 8):
                data[place] = random.integers(0, 256)
            try:
                sound.decode(bytes(data))
            except RowRejected as error:
                assert error.reason in sound.__doc__


def test_what_is_encoded_can_be_read_by_others() -> None:
    import io

    samples, rate = soundfile.read(io.BytesIO(sound.encode(tone(0.1), 16_000, "FLAC")))
    assert (len(samples), rate) == (1_600, 16_000)
