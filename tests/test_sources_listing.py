"""The one listing: files, folders, globs, lists, and names of every sort."""

import os
import subprocess
import sys

import pytest

from actors.errors import UsageError
from pipelines.sources import Text
from pipelines.sources.listing import list_files
from pipelines.units import SourceFile
from tests.source_cases import read_all, touch


def names(base, *paths, extensions=(".txt",)):
    return [file.name for file in list_files(paths, base, extensions)]


def test_a_folder_gives_the_files_of_its_kind_at_any_depth_but_none_that_is_hidden(tmp_path):
    for name in ("b.txt", "a/c.TXT", "a/b/d.txt", "_tmp/e.txt", ".f.txt", "a/_g.txt", "h.csv"):
        touch(tmp_path / "in" / name)
    assert names(tmp_path, "in") == ["a/b/d.txt", "a/c.TXT", "b.txt"]


def test_a_file_named_outright_is_taken_whatever_its_name(tmp_path):
    touch(tmp_path / "in" / "_odd.data")
    assert names(tmp_path, "in/_odd.data") == ["_odd.data"]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("in/*.txt", ["a.txt", "b.txt"]),
        ("in/**/*.txt", ["a.txt", "b.txt", "d/c.txt", "d/e/f.txt"]),
        ("in/?.md", ["c.md"]),
        ("in/[!a].txt", ["b.txt"]),
        ("in/[ab].txt", ["a.txt", "b.txt"]),
        ("in/*", ["a.txt", "b.txt"]),
        ("in/c*", ["c.md"]),
        ("in/**", ["a.txt", "b.txt", "d/c.txt", "d/e/f.txt"]),
        ("in/*/*/f.txt", ["d/e/f.txt"]),
    ],
)
def test_a_glob_names_files_below_its_first_wildcard(tmp_path, glob, expected):
    for name in ("a.txt", "b.txt", "c.md", "d/c.txt", "d/e/f.txt", ".hidden.txt"):
        touch(tmp_path / "in" / name)
    assert names(tmp_path, glob) == expected


@pytest.mark.parametrize(
    "name", ["a b.txt", "a\nb.txt", "a#b%20?.txt", "ä汉🙂.txt", "[ab]*.txt", "-x.txt", "'\"\\.txt"]
)
def test_names_of_every_sort_are_listed_and_read_as_they_are(tmp_path, name):
    touch(tmp_path / name, b"hello")
    for path in (".", name, str(tmp_path / name)):
        source = Text(path=path)
        (file,) = source.files(tmp_path)
        assert file.name == name
        assert read_all(source, tmp_path)["text"].to_pylist() == ["hello"]


def test_equal_names_in_two_roots_stay_apart(tmp_path):
    touch(tmp_path / "a" / "x.txt")
    touch(tmp_path / "b" / "x.txt")
    assert names(tmp_path, "a", "b/*.txt", str(tmp_path / "b" / "x.txt")) == ["a/x.txt", "b/x.txt"]


def test_a_file_that_two_paths_name_is_listed_once(tmp_path):
    touch(tmp_path / "a" / "x.txt")
    assert names(tmp_path, "a", "a/x.txt", "./a/*") == ["a/x.txt"]


def test_links_to_folders_are_followed_once_and_loops_end(tmp_path):
    touch(tmp_path / "in" / "real" / "x.txt")
    touch(tmp_path / "out" / "y.txt")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in" / "real")
    (tmp_path / "in" / "far").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "dangling.txt").symlink_to(tmp_path / "nowhere")
    assert names(tmp_path, "in") == ["far/y.txt", "real/x.txt"]


def test_a_file_uri_is_a_local_path(tmp_path):
    touch(tmp_path / "a b" / "x.txt")
    assert names(tmp_path, f"file://{tmp_path}/a%20b") == ["x.txt"]


def test_the_version_follows_size_and_time(tmp_path):
    path = touch(tmp_path / "x.txt", b"abc")
    os.utime(path, ns=(7, 7))
    (first,) = list_files(["x.txt"], tmp_path, ())
    os.utime(path, ns=(8, 8))
    (second,) = list_files(["x.txt"], tmp_path, ())
    assert (first.version, second.version) == ("3-7", "3-8")


def test_a_path_that_is_not_there_is_named_with_what_is(tmp_path):
    touch(tmp_path / "scans" / "x.txt")
    with pytest.raises(UsageError) as error:
        names(tmp_path, "scan/2024")
    assert str(error.value) == (
        f"source path 'scan/2024' is not there (looked for {tmp_path}/scan/2024)\n"
        f"  {tmp_path} has: scans (did you mean 'scans'?)"
    )


def test_a_folder_without_a_fitting_file_says_what_was_looked_for_and_what_is_there(tmp_path):
    touch(tmp_path / "in" / "a.gz")
    touch(tmp_path / "in" / "b.gz")
    with pytest.raises(UsageError) as error:
        names(tmp_path, "in", extensions=(".txt", ".md"))
    assert str(error.value) == (
        f"source path 'in' has no file to read\n"
        f"  looked in {tmp_path}/in for: .txt .md\n"
        f"  there is: 2 x .gz"
    )


def test_a_name_that_is_not_utf8_is_refused_by_name(tmp_path):
    touch(tmp_path / os.fsdecode(b"\xff.txt"))
    with pytest.raises(UsageError, match=r"udcff\.txt' is not UTF-8"):
        names(tmp_path, ".")


def test_secrets_of_a_uri_are_not_shown(tmp_path):
    with pytest.raises(UsageError) as error:
        names(tmp_path, "nosuch://user:secret@host/x?key=secret")
    assert "'nosuch://host/x' cannot be opened" in str(error.value)
    assert "secret" not in str(error.value)


def test_secrets_of_a_uri_are_not_in_the_text_of_a_source_file():
    assert "secret" not in repr(SourceFile("a", 1, "1-1", "b/a", home="s3://user:secret@b/a"))


def test_units_and_listing_need_no_ray():
    code = "import pipelines.sources, pipelines.units, sys; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
