"""Decoding videos: formats, times, turned pictures, and everything that is wrong with a file."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from actors import film
from actors.errors import RowRejected
from actors.watching.containers import missing_bytes
from tests.tiny import films

KINDS = [
    ("mp4", "libx264", "yuv420p"),
    ("mp4", "mpeg4", "yuv420p"),
    ("mp4", "libsvtav1", "yuv420p"),
    ("webm", "libvpx", "yuv420p"),
    ("webm", "libvpx-vp9", "yuv420p"),
    ("matroska", "ffv1", "yuv420p"),
    ("avi", "mjpeg", "yuvj420p"),
    ("mpegts", "libx264", "yuv420p"),
    ("mpeg", "mpeg2video", "yuv420p"),
    ("flv", "flv", "yuv420p"),
    ("asf", "wmv2", "yuv420p"),
    ("gif", "gif", "rgb8"),
]
"""Format, coding, and how it keeps its pixels."""


def reason(data: Any, **limits: float) -> str:
    with pytest.raises(RowRejected) as caught:
        film.inspect(data, film.Limits(**limits))  # type: ignore[arg-type]
    return caught.value.reason


@pytest.mark.parametrize(("format", "codec", "pixels"), KINDS)
def test_any_frame_of_any_kind_is_what_decoding_all_gives(
    format: str, codec: str, pixels: str
) -> None:
    data = films.film(40, format, codec, pixels=pixels)
    found, plain = film.Film(data), films.plain(data)
    assert np.allclose(found.times, [time - plain[0][0] for time, _ in plain], atol=2e-3)
    assert found.seconds == pytest.approx(40 / 30, abs=0.05)
    choices: list[Sequence[int]] = [range(40), [7], [39], [0, 13, 14, 38], [25, 3]]
    for numbers in choices:
        frames = dict(found.frames(numbers))
        assert list(frames) == sorted(numbers)
        assert all(np.array_equal(frame, plain[n][1]) for n, frame in frames.items())


def test_what_is_found_in_a_file() -> None:
    assert film.inspect(films.film(30)) == film.Header(1.0, 64, 48, 30, 30.0, "h264")
    assert film.inspect(films.film(1)) == film.Header(1 / 30, 64, 48, 1, 30.0, "h264")


@pytest.mark.parametrize("turned", [90, -90, 180])
def test_a_film_that_was_turned_is_seen_upright(turned: int) -> None:
    data = films.film(3, turned=turned)
    ((_, seen),) = film.Film(data).frames([2])
    assert np.array_equal(seen, np.rot90(films.plain(data)[2][1], turned // 90))
    header = film.inspect(data)
    assert (header.width, header.height) == ((64, 48) if turned == 180 else (48, 64))


@pytest.mark.parametrize(("squashed", "width"), [("4/3", 85), ("1/2", 32), ("50/1", 64)])
def test_pixels_are_made_square_where_their_shape_can_be_believed(
    squashed: str, width: int
) -> None:
    header = film.inspect(films.film(2, squashed=Fraction(squashed)))
    assert (header.width, header.height) == (width, 48)


def test_a_frame_is_found_by_its_time_also_where_the_rate_varies() -> None:
    found = film.Film(films.film(5, times=[0, 0.1, 0.2, 1.7, 1.75]))
    assert found.times.tolist() == [0, 0.1, 0.2, 1.7, 1.75]
    assert found.at([0, 0.09, 0.1, 0.3, 1.69, 1.7, 5]) == [0, 0, 1, 2, 2, 3, 4]


def test_frames_are_scaled_down_while_they_are_decoded() -> None:
    found = film.Film(films.film(2))
    assert [frame.shape for _, frame in found.frames([0, 1], max_side=32)] == [(24, 32, 3)] * 2
    assert [frame.shape for _, frame in found.frames([0], max_side=640)] == [(48, 64, 3)]


def test_only_the_groups_that_hold_a_wanted_frame_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from actors.watching import decoding

    found, fed = film.Film(films.film(120)), []
    monkeypatch.setattr(decoding, "_frames", _counted(decoding._frames, fed))
    assert [number for number, _ in found.frames([13, 100])] == [13, 100]
    assert len(fed) < 30, "frames 12 to 13 and 96 to 100, and what the decoder holds back"


def _counted(work: Any, calls: list[Any]) -> Any:
    return lambda *given: calls.append(given) or work(*given)


@pytest.mark.parametrize("format", ["mp4", "webm", "mpegts"])
def test_films_over_the_caps_are_refused(format: str) -> None:
    data = films.film(30, format, "libvpx" if format == "webm" else "libx264")
    assert reason(data, seconds=0.9) == "video_too_long"
    assert reason(data, pixels=64 * 48 - 1) == "video_too_large"


@pytest.mark.parametrize(("code", "row"), films.NO_FILMS.items())
def test_what_is_no_film_has_a_reason(code: str, row: Any) -> None:
    assert reason(row["video"]) == code


@pytest.mark.parametrize(
    "data", [films.PLAYLIST, films.CONCAT, films.RECORDING, b"RIFF\4\0\0\0WEBP"]
)
def test_a_file_that_names_others_is_never_followed(data: bytes) -> None:
    assert reason(data) == "unreadable_video"


@pytest.mark.parametrize(
    ("format", "codec"),
    [("mp4", "libx264"), ("webm", "libvpx"), ("avi", "mpeg4"), ("asf", "wmv2")],
)
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.99])
def test_a_file_that_was_cut_is_never_taken_for_a_shorter_one(
    format: str, codec: str, kept: float
) -> None:
    data = films.film(30, format, codec)
    assert reason(data[: int(len(data) * kept)]) == "truncated_video"
    assert missing_bytes(data) == 0


@pytest.mark.parametrize(("format", "codec"), [("mpegts", "libx264"), ("mpeg", "mpeg2video")])
def test_a_stream_that_was_joined_on_its_way_begins_with_the_first_whole_frame(
    format: str, codec: str
) -> None:
    data = films.film(60, format, codec)
    found, whole = film.Film(data[len(data) // 3 :]), films.plain(data)
    frames = dict(found.frames(range(len(found.times))))
    assert 12 <= len(frames) <= 48
    assert all(np.array_equal(frames[n], whole[n - len(frames)][1]) for n in frames)


def test_a_frame_of_billions_of_pixels_is_never_made() -> None:
    data = bytearray(films.film(2, "gif", "gif", pixels="rgb8"))
    data[6:10] = b"\xff" * 4
    assert reason(bytes(data)) == "damaged_video", "a GIF's size is known to its decoder alone"


def test_a_header_without_a_frame_is_no_film() -> None:
    data = films.film(30, movflags="empty_moov+frag_keyframe")
    assert reason(data[: data.index(b"moof") - 4]) == "no_frames"


def test_damage_never_escapes_as_another_error() -> None:
    random, reasons = np.random.default_rng(0), set()
    for format, codec, pixels in KINDS:
        whole = films.film(20, format, codec, pixels=pixels)
        for _ in range(15):
            data = bytearray(whole)
            for place in random.integers(0, len(data), 6):
                data[place] = random.integers(0, 256)
            try:
                film.inspect(bytes(data))
            except RowRejected as error:
                reasons.add(error.reason)
    assert "damaged_video" in reasons
    assert all(code in str(film.__doc__) for code in reasons)
