"""Images: encoded files as rows, and the words of the `source:` block."""

import pyarrow as pa
import pytest
from pydantic import TypeAdapter, ValidationError

from actors.errors import SourceFailed
from pipelines.sources import LATER, AnySource, Images, Skipped, answer_schema
from tests.source_cases import read_all, rows_of, touch, whole


def test_one_file_is_one_row_of_its_bytes(tmp_path):
    for name, content in (
        ("a.JPG", b"jpeg"),
        ("b/c.png", b"png"),
        ("d.txt", b"no"),
        ("e.gif", b""),
    ):
        touch(tmp_path / "in" / name, content)
    touch(tmp_path / "in" / "f.webp", b"x" * 100)
    table = read_all(Images(path="in", max_bytes=99), tmp_path)
    assert table.schema == answer_schema(Images.layout)
    assert rows_of(table) == [
        ("a.JPG", 0, f"{tmp_path}/in/a.JPG", b"jpeg", None),
        ("b/c.png", 0, f"{tmp_path}/in/b/c.png", b"png", None),
        ("e.gif", 0, f"{tmp_path}/in/e.gif", None, "empty_file"),
        ("f.webp", 0, f"{tmp_path}/in/f.webp", None, "file_too_large"),
    ]


def test_only_the_asked_columns_are_given(tmp_path):
    touch(tmp_path / "a.png")
    source = Images(path="a.png")
    unit = whole(source, source.files(tmp_path))
    assert source.read(unit, pa.schema([])).table.to_pylist() == [
        {"_source": "a.png", "_row": 0, "_reject": None}
    ]


def test_files_that_changed_vanished_or_are_locked_away_are_skipped(tmp_path):
    for name in "abcd":
        touch(tmp_path / "in" / f"{name}.png", b"123")
    source = Images(path="in")
    files = source.files(tmp_path)
    unit = whole(source, files)
    touch(tmp_path / "in" / "b.png", b"1234")
    (tmp_path / "in" / "c.png").unlink()
    (tmp_path / "in" / "d.png").unlink()
    (tmp_path / "in" / "d.png").mkdir()
    read = source.read(unit, Images.layout)
    assert read.table["_source"].to_pylist() == ["a.png"]
    assert read.skipped == [
        Skipped(files[1], "changed"),
        Skipped(files[2], "vanished"),
        Skipped(files[3], "vanished"),
    ]


def test_a_column_that_images_do_not_have_is_an_error(tmp_path):
    touch(tmp_path / "a.png")
    source = Images(path="a.png")
    (file,) = source.files(tmp_path)
    with pytest.raises(SourceFailed, match="no column 'text'"):
        source.extent(file, pa.schema([("text", pa.string())]))


def test_endings_can_be_chosen(tmp_path):
    touch(tmp_path / "in" / "a.scan")
    touch(tmp_path / "in" / "b.png")
    files = Images(path="in", extensions=[".SCAN"]).files(tmp_path)
    assert [file.name for file in files] == ["a.scan"]


def test_the_kind_picks_the_source():
    read = TypeAdapter(AnySource).validate_python
    assert read({"kind": "images", "path": "scans/"}) == Images(path="scans/")
    assert read({"kind": "images", "path": ["a", "b"]}).path == ("a", "b")
    assert read(Images(path="x")) == Images(path="x")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        *(
            ({"kind": kind, "path": "x"}, f"the source kind '{kind}' is not there yet")
            for kind in LATER
        ),
        ({"kind": "image", "path": "x"}, "no source kind 'image' (did you mean 'images'?)"),
        ({"path": "x"}, "the source does not say its kind"),
        ({"kind": "images", "path": "x", "colour": 1}, "Extra inputs are not permitted"),
        ({"kind": "images"}, "Field required"),
    ],
)
def test_a_wrong_source_block_is_told_in_words(given, said):
    with pytest.raises(ValidationError) as error:
        TypeAdapter(AnySource).validate_python(given)
    assert said in str(error.value)
