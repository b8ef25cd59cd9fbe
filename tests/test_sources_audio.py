"""Audio: recordings as rows, checked by their headers, resampled once when asked."""

import numpy as np
import pyarrow as pa
import pytest

from actors import sound
from actors.errors import SourceFailed
from pipelines.sources import Audio, answer_schema
from pipelines.sources.audio import SCHEMA
from tests.source_cases import read_all, rows_of, touch
from tests.tiny.voices import tone, wav


def test_one_file_is_one_row_with_what_its_header_says(tmp_path):
    stereo = wav(np.stack([tone(0.5, rate=8_000)] * 2, axis=1), 8_000)
    for name, content in (
        ("a.WAV", stereo),
        ("b/c.flac", stereo[:-9]),
        ("d.txt", b"no"),
        ("e.mp3", b""),
        ("f.ogg", b"x" * 100),
    ):
        touch(tmp_path / "in" / name, content)
    table = read_all(Audio(path="in"), tmp_path)
    assert table.schema == answer_schema(SCHEMA)
    nothing = (None, None, None, None)
    assert rows_of(table) == [
        ("a.WAV", 0, f"{tmp_path}/in/a.WAV", stereo, 0.5, 8_000, 2, None),
        ("b/c.flac", 0, f"{tmp_path}/in/b/c.flac", *nothing, "truncated_audio"),
        ("e.mp3", 0, f"{tmp_path}/in/e.mp3", *nothing, "empty_file"),
        ("f.ogg", 0, f"{tmp_path}/in/f.ogg", *nothing, "unreadable_audio"),
    ]


def test_a_recording_is_resampled_once_for_all_stages(tmp_path):
    stereo = np.stack([tone(0.5, 100, 44_100), tone(0.5, 200, 44_100)], axis=1)
    touch(tmp_path / "a.flac", sound.encode(stereo, 44_100, "FLAC"))
    table = read_all(Audio(path="a.flac", sampling_rate=16_000, channel=1), tmp_path)
    (row,) = table.to_pylist()
    assert (row["audio_rate"], row["audio_channels"]) == (44_100, 2)
    heard, header = sound.decode(row["audio"], 16_000)
    assert header == sound.Header(0.5, 16_000, 1)
    straight, _ = sound.decode((tmp_path / "a.flac").read_bytes(), 16_000, channel=1)
    assert np.array_equal(heard, straight)


def test_recordings_over_the_caps_are_rejected(tmp_path):
    touch(tmp_path / "in" / "a.wav", wav(tone(2.0)))
    touch(tmp_path / "in" / "b.wav", wav(tone(0.5)))
    reasons = [row[-1] for row in rows_of(read_all(Audio(path="in", max_seconds=1), tmp_path))]
    assert reasons == ["audio_too_long", None]
    table = read_all(Audio(path="in", max_bytes=40_000), tmp_path)
    assert [row[-1] for row in rows_of(table)] == ["file_too_large", None]


def test_a_column_that_recordings_do_not_have_is_an_error(tmp_path):
    touch(tmp_path / "a.wav", wav(tone(0.1)))
    source = Audio(path="a.wav")
    (file,) = source.files(tmp_path)
    with pytest.raises(SourceFailed, match="no column 'text'"):
        source.extent(file, pa.schema([("text", pa.string())]))
