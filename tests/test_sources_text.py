"""Text: files or lines as rows."""

import pytest

from pipelines.sources import Text
from tests.source_cases import read_all, rows_of, touch


def test_one_file_is_one_row_and_an_empty_file_is_empty_text(tmp_path):
    touch(tmp_path / "in" / "a.txt", b"\xef\xbb\xbfone\r\ntwo\n")
    touch(tmp_path / "in" / "b.md", b"")
    touch(tmp_path / "in" / "c.txt", b"\xff")
    touch(tmp_path / "in" / "d.txt", b"x" * 11)
    assert rows_of(read_all(Text(path="in", max_bytes=11), tmp_path)) == [
        ("a.txt", 0, f"{tmp_path}/in/a.txt", None, "file_too_large"),
        ("b.md", 0, f"{tmp_path}/in/b.md", "", None),
        ("c.txt", 0, f"{tmp_path}/in/c.txt", None, "bad_encoding"),
        ("d.txt", 0, f"{tmp_path}/in/d.txt", "x" * 11, None),
    ]
    assert read_all(Text(path="in/a.txt"), tmp_path)["text"].to_pylist() == ["one\r\ntwo\n"]


@pytest.mark.parametrize("chunk", [1, 4, 1 << 20])
def test_every_line_is_a_row_also_an_empty_one(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr("pipelines.sources.lines.CHUNK", chunk)
    touch(tmp_path / "a.txt", b"\xef\xbb\xbfone\r\n\n\xff\ntoo long line\n last")
    path = f"{tmp_path}/a.txt"
    assert rows_of(read_all(Text(path="a.txt", rows="line", max_bytes=6), tmp_path, 2)) == [
        ("a.txt", 0, path, "one", None),
        ("a.txt", 1, path, "", None),
        ("a.txt", 2, None, None, "bad_encoding"),
        ("a.txt", 3, None, None, "row_too_large"),
        ("a.txt", 4, path, " last", None),
    ]


def test_another_encoding_is_taken_where_it_is_named(tmp_path):
    touch(tmp_path / "a.txt", "größe".encode("utf-16"))
    assert read_all(Text(path="a.txt", encoding="utf-16"), tmp_path)["text"].to_pylist() == [
        "größe"
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"encoding": "utf-99"}, "encoding 'utf-99' is not known"),
        ({"encoding": "utf-16", "rows": "line"}, "rows: line needs one byte per newline"),
    ],
)
def test_an_encoding_that_cannot_work_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Text(path="x", **options)


def test_endings_can_be_chosen(tmp_path):
    touch(tmp_path / "in" / "a.log", b"a")
    touch(tmp_path / "in" / "b.txt", b"b")
    assert read_all(Text(path="in", extensions=["log"]), tmp_path)["text"].to_pylist() == ["a"]
