"""Video: films as rows, their frames counted."""

import pyarrow as pa
import pytest

from actors import film
from actors.errors import SourceFailed, UsageError
from pipelines.sources import Video, answer_schema
from pipelines.sources.video import SCHEMA
from tests.source_cases import read_all, rows_of, touch
from tests.tiny import films


def test_one_file_is_one_row_with_what_is_found_in_it(tmp_path):
    turned = films.film(15, turned=90)
    for name, content in (
        ("a.MP4", turned),
        ("b/c.mov", turned[:-9]),
        ("d.txt", b"no"),
        ("e.webm", b""),
        ("f.mkv", b"x" * 100),
        ("g.mp4", films.only_sound()),
    ):
        touch(tmp_path / "in" / name, content)
    table = read_all(Video(path="in"), tmp_path)
    assert table.schema == answer_schema(SCHEMA)
    nothing = (None,) * 7
    found = (0.5, 48, 64, 15, 30.0, "h264")
    assert rows_of(table) == [
        ("a.MP4", 0, f"{tmp_path}/in/a.MP4", turned, *found, None),
        ("b/c.mov", 0, f"{tmp_path}/in/b/c.mov", *nothing, "truncated_video"),
        ("e.webm", 0, f"{tmp_path}/in/e.webm", *nothing, "empty_file"),
        ("f.mkv", 0, f"{tmp_path}/in/f.mkv", *nothing, "unreadable_video"),
        ("g.mp4", 0, f"{tmp_path}/in/g.mp4", *nothing, "no_video"),
    ]


def test_films_over_the_caps_are_rejected(tmp_path):
    touch(tmp_path / "in" / "a.mp4", films.film(30))
    touch(tmp_path / "in" / "b.mp4", films.film(6))

    def reasons(**limits):
        return [row[-1] for row in rows_of(read_all(Video(path="in", **limits), tmp_path))]

    assert reasons(max_seconds=0.5) == ["video_too_long", None]
    assert reasons(max_bytes=3_000) == ["file_too_large", None]
    assert reasons(max_pixels=1_000) == ["video_too_large", "video_too_large"]


def test_a_column_that_films_do_not_have_is_an_error(tmp_path):
    touch(tmp_path / "a.mp4", films.film(2))
    source = Video(path="a.mp4")
    (file,) = source.files(tmp_path)
    with pytest.raises(SourceFailed, match="no column 'text'"):
        source.extent(file, pa.schema([("text", pa.string())]))


def test_where_films_cannot_be_decoded_the_plan_says_what_to_install(tmp_path, monkeypatch):
    touch(tmp_path / "a.mp4", films.film(2))
    monkeypatch.setattr(film, "is_installed", lambda: False)
    source = Video(path="a.mp4")
    with pytest.raises(UsageError, match=r"pip install 'gristmill\[video\]'"):
        source.offers(source.files(tmp_path))
