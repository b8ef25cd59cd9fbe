"""Files appear whole or not at all; a sink without room or rights says so, and can go on."""

import contextlib
import errno
import os
import pickle
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.errors import SinkFailed, UsageError
from pipelines.store import ASIDE, DATA, Store
from tests.mill import Corpus, places, run

CORPUS = Corpus({"a": (4, "v1")}, frozenset({("a", 1)}))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.at("out", tmp_path)
    made.prepare()
    return made


def test_a_file_is_put_whole_and_replaced_whole(store: Store) -> None:
    store.put(f"{DATA}/x", b"one")
    store.put(f"{DATA}/x", b"another")
    assert store.read(f"{DATA}/x") == b"another"
    assert store.names(ASIDE) == []


def test_hidden_files_are_not_listed(store: Store) -> None:
    for name in ("b", "a", ".crc", "_SUCCESS"):
        store.put(f"{DATA}/{name}", b"")
    assert store.names(DATA) == ["a", "b"]


def test_what_is_not_there_reads_as_none_and_is_deleted_already(store: Store) -> None:
    store.delete(f"{DATA}/x")
    assert store.read(f"{DATA}/x") is None
    assert store.names("nowhere") == []


def test_a_store_pickles(store: Store) -> None:
    assert store.system is not None
    assert pickle.loads(pickle.dumps(store)) == store  # noqa: S301


def test_a_uri_of_an_unknown_kind_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sink path 'nonsense://x' cannot be opened"):
        Store.at("nonsense://x", tmp_path)


def test_a_folder_is_ours_from_its_first_moment(tmp_path: Path) -> None:
    """A run killed while it makes the folders must not leave what looks like others' files."""
    store = Store.at("out", tmp_path)
    Path(store.path).mkdir()
    Path(store.full(DATA)).write_text("stops it here")
    with pytest.raises(SinkFailed):
        store.prepare()
    assert store.top() == ["_gristmill", DATA]


@pytest.mark.parametrize("path", ["file/out", "/proc/out"])
def test_a_place_where_nothing_can_be_written_is_said(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SinkFailed, match=f"{path}"):
        Store.at(path, tmp_path).prepare()


def test_an_output_that_is_taken_away_meanwhile_is_said(store: Store) -> None:
    Path(store.path).rename(f"{store.path}.gone")
    for use in (lambda: store.put(f"{DATA}/x", b""), lambda: store.shared().__enter__()):
        with pytest.raises(SinkFailed, match="cannot be used"):
            use()


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_said_and_the_next_run_goes_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk"):
        store = Store.at("disk/out", tmp_path)
        store.prepare()
        hog = tmp_path / "disk" / "hog"
        with contextlib.suppress(OSError):
            hog.write_bytes(b"x" * 500_000)
        with pytest.raises(SinkFailed, match=r"no room left .*\n.*make room and run again"):
            run(store, CORPUS)
        assert store.names(ASIDE) == []
        hog.unlink()
        run(store, CORPUS)
        assert places(store) == CORPUS.places()


def test_a_disk_that_fills_up_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    corpus = Corpus({f"f{n}": (40, "v1") for n in range(20)}, frozenset({("f3", 1)}))
    with small_disk(tmp_path / "disk"):
        store = Store.at("disk/out", tmp_path)
        hog = tmp_path / "disk" / "hog"
        hog.write_bytes(b"x" * 100_000)
        with pytest.raises(SinkFailed, match="no room left"):
            run(store, corpus, rows=20)
        assert 0 < len(places(store)) < 800
        hog.unlink()
        run(store, corpus, rows=100)
        assert places(store) == corpus.places()


@pytest.mark.parametrize("has_links", [True, False])
def test_an_alias_keeps_its_content_when_the_file_gets_another(
    store: Store, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    def refuse(*_: str) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    store.put(f"{DATA}/a", b"old")
    store.alias(f"{DATA}/a", f"{DATA}/b")
    store.put(f"{DATA}/a", b"new")
    assert (store.read(f"{DATA}/a"), store.read(f"{DATA}/b")) == (b"new", b"old")
    store.alias(f"{DATA}/a", f"{DATA}/b")
    assert store.read(f"{DATA}/b") == b"new"
    assert list(Path(store.full("_gristmill/aside")).iterdir()) == []
    with pytest.raises(FileNotFoundError):
        store.alias(f"{DATA}/none", f"{DATA}/c")
