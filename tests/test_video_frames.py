"""video-frames: pictures out of a video, and one to look at first."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from actors import film as films
from actors.stage import ModelFiles
from actors.vision.video_frames import VideoFrames
from actors.worker import Worker
from tests.tiny.films import film, picture, plain


def take(data: bytes, **options: Any) -> Any:
    (answer,) = Worker(VideoFrames(**options), ModelFiles.none()).answer([{"video": data}])
    return answer


def pixels(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image)))


def times(answer: Any) -> list[float]:
    return [round(frame["time"], 3) for frame in answer["frames"]]


def test_frames_are_spread_evenly_and_are_those_of_the_video() -> None:
    data = film(40)
    answer = take(data, count=4, format="png")
    expected = [plain(data)[n] for n in (5, 15, 25, 35)]
    assert times(answer) == [round(time, 3) for time, _ in expected]
    seen = [pixels(frame["image"]) for frame in answer["frames"]]
    assert all(np.array_equal(a, b) for a, (_, b) in zip(seen, expected, strict=True))


def test_so_many_frames_are_taken_each_second() -> None:
    assert times(take(film(60), frame_rate=2)) == [0, 0.5, 1.0, 1.5]
    assert times(take(film(60), frame_rate=0.1)) == [0]


def test_a_short_video_gives_each_of_its_frames_once() -> None:
    assert times(take(film(3))) == [0, 0.033, 0.067]
    assert times(take(film(1), frame_rate=100)) == [0]


def test_the_cover_is_the_frame_with_most_detail_or_the_middle_one() -> None:
    answer = take(_flat_but_one(6), count=10)
    assert answer["cover_time"] == pytest.approx(0.2, abs=1e-3)
    assert answer["cover"] == answer["frames"][6]["image"]
    middle = take(_flat_but_one(6), count=10, cover="middle")
    assert middle["cover_time"] == pytest.approx(4 / 30, abs=1e-3)


def _flat_but_one(number: int) -> bytes:
    """Ten grey frames, one of them with a picture."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="avi") as container:
        stream: Any = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for n in range(10):
            shown = picture(n) if n == number else np.full((48, 64, 3), 128, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown)))
        container.mux(stream.encode())
    return file.getvalue()


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_pictures_are_scaled_down_and_encoded_as_asked(format: str) -> None:
    answer = take(film(2, turned=90), format=format, max_side=32)
    image = Image.open(io.BytesIO(answer["cover"]))
    assert (image.size, image.format) == ((24, 32), format.upper())


def test_a_count_and_a_rate_contradict_each_other() -> None:
    with pytest.raises(ValidationError, match="give one of them"):
        VideoFrames(count=4, frame_rate=1)


def test_where_videos_cannot_be_decoded_the_plan_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert VideoFrames().wired(["video"], None) is None
    monkeypatch.setattr(films, "is_installed", lambda: False)
    assert VideoFrames().wired(["video"], None) == films.MISSING
