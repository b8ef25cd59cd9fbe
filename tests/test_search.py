"""`gristmill search`: an index that follows the output, and the rows that it finds."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from actors.errors import SinkFailed, UsageError
from actors.multimodal.image_text_retrieval import ImageTextRetrieval
from actors.stage import ModelFiles
from actors.worker import Worker
from jobs.cli import main
from jobs.search import place_of
from pipelines import index
from pipelines.search import Query, index_folder
from pipelines.store import Store
from tests.close import assert_close
from tests.library import SIZE, Library, clustered
from tests.tiny import TINY, comparing, text
from tests.tiny.seeing import PICTURES
from tests.world import World

Build = Callable[..., ModelFiles]
TEXT = pa.schema([("text", pa.string())])
IMAGE = pa.schema([("image", pa.binary()), ("text", pa.string())])


@pytest.fixture
def library(tiny: Build, tmp_path: Path) -> Library:
    """An output of text-embedding without rows."""
    model = str(tiny(text.bert_encoder).folder)
    return Library(tmp_path, {"task": "text-embedding", "model": model}, TEXT)


def filled(library: Library, parts: int = 4, rows: int = 60) -> np.ndarray:
    """Commit parts of clustered vectors; return them all."""
    made = [clustered(rows, seed) for seed in range(parts)]
    for number, vectors in enumerate(made):
        library.vectors(f"u{number}", list(vectors))
    return np.concatenate(made)


def best(vectors: np.ndarray, query: np.ndarray, top: int, rows: int = 60) -> list[tuple[str, int]]:
    """The nearest rows, by comparing with each."""
    return [(f"u{n // rows}", n % rows) for n in np.argsort(-(vectors @ query))[:top].tolist()]


# the index ------------------------------------------------------------------------------------


def test_a_small_output_is_searched_exactly(library: Library) -> None:
    vectors = filled(library)
    for query in clustered(5, 99):
        assert library.nearest(query, 10) == best(vectors, query, 10)
    assert library.said == ["indexing 240 rows of 'embedding' in 4 new parts"]


def test_a_large_one_is_searched_in_some_of_its_lists(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "EXACT_ROWS", 100)
    monkeypatch.setattr(index, "PROBES", 8)
    vectors = filled(library, 4, 600)
    queries = clustered(50, 99)
    found = [set(library.nearest(q, 10)) & set(best(vectors, q, 10, 600)) for q in queries]
    assert sum(map(len, found)) / 500 > 0.9


def test_rows_without_a_vector_are_never_found(library: Library) -> None:
    one, other = clustered(2, 1)
    library.vectors("u0", [None, 3 * one, np.zeros(SIZE), other, None])
    library.vectors("u1", [None, None])
    assert set(library.nearest(one, 10)) == {("u0", 1), ("u0", 3)}
    found = library.search(Query(row=("u0", 3)))
    assert [(row["_row"], row["title"]) for row in found] == [(1, "u0 1")]
    assert found[0]["score"] == pytest.approx(float(one @ other), abs=1e-6)


def test_new_parts_are_indexed_and_nothing_else(library: Library) -> None:
    filled(library)
    library.nearest(clustered(1, 0)[0], 1)
    before = library.segments()
    library.vectors("new", list(clustered(3, 7)))
    assert library.nearest(clustered(3, 7)[1], 1) == [("new", 1)]
    assert library.said[1:] == ["indexing 3 rows of 'embedding' in 1 new parts"]
    assert set(before) < set(library.segments())
    library.nearest(clustered(1, 0)[0], 1)
    assert len(library.said) == 2


def test_night_after_night_the_segments_stay_few(library: Library) -> None:
    for night in range(12):
        library.vectors(f"u{night:02}", list(clustered(20, night)))
        assert library.nearest(clustered(20, night)[5], 1) == [(f"u{night:02}", 5)]
    assert len(library.segments()) <= 4


def test_segments_are_bounded(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "SEGMENT_ROWS", 130)
    vectors, query = filled(library), clustered(1, 99)[0]
    assert library.nearest(query, 10) == best(vectors, query, 10)
    assert len(library.segments()) == 2


def test_a_part_that_is_gone_is_passed_over_and_one_written_anew_found(library: Library) -> None:
    vectors = filled(library)
    library.nearest(vectors[0], 1)
    before = library.segments()
    library.remove("u1")
    left = np.concatenate([vectors[:60], np.full((60, SIZE), -9, np.float32), vectors[120:]])
    query = vectors[70]
    assert library.nearest(query, 10) == best(left, query, 10)
    assert library.segments() == before
    library.vectors("u2", list(clustered(60, 50)))
    assert library.nearest(clustered(60, 50)[7], 1) == [("u2", 7)]
    assert ("u2", 5) not in library.nearest(vectors[125], 1)


def test_a_segment_of_which_half_is_gone_is_built_anew(library: Library) -> None:
    vectors = filled(library)
    library.nearest(vectors[0], 1)
    before = library.segments()
    for unit in ("u0", "u1"):
        library.remove(unit)
    assert library.nearest(vectors[130], 1) == [("u2", 10)]
    assert len(library.segments()) == 1 and library.segments() != before


KILLED = """
import os, signal, sys
from pathlib import Path
from pipelines import index
from pipelines.store import Store
from pipelines.vectors import vector_column
put = index._put
def dying(path, write):
    if path.name == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
    put(path, write)
index._put = dying
store = Store.at(sys.argv[1], Path())
index.open_index(store, vector_column(store, None), Path(sys.argv[2]), print)
"""


def test_a_build_that_is_killed_leaves_the_index_as_it_was(library: Library) -> None:
    filled(library)
    library.nearest(clustered(1, 0)[0], 1)
    before = {p: p.read_bytes() for p in library.folder().iterdir()}
    library.vectors("new", list(clustered(3, 7)))
    command = [
        sys.executable,
        "-c",
        KILLED,
        library.store.path,
        str(library.folder()),
        "index.json",
    ]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONPATH": "."})
    assert done.returncode == -signal.SIGKILL
    assert {p: p.read_bytes() for p in before} == before
    assert len(library.segments()) == 2
    assert library.nearest(clustered(3, 7)[1], 1) == [("new", 1)]
    assert len(library.segments()) == 2


def test_a_damaged_segment_is_built_anew_or_refused(library: Library) -> None:
    vectors = filled(library)
    library.nearest(vectors[0], 1)
    segment = library.folder() / library.segments()[0]
    segment.write_bytes(segment.read_bytes()[:100])
    assert library.nearest(vectors[3], 1) == [("u0", 3)]
    segment = library.folder() / library.segments()[0]
    segment.write_bytes(b"x" * segment.stat().st_size)
    with pytest.raises(SinkFailed, match="delete the folder"):
        library.nearest(vectors[3], 1)


def test_an_index_of_another_model_is_built_anew(library: Library) -> None:
    vectors = filled(library)
    library.nearest(vectors[0], 1)
    path = library.folder() / "index.json"
    listed = json.loads(path.read_text())
    listed["made_by"]["revision"] = "another"
    path.write_text(json.dumps(listed))
    assert library.nearest(vectors[3], 1) == [("u0", 3)]
    assert "another model's vectors" in library.said[1]


def test_the_index_of_an_output_elsewhere_is_kept_here(tmp_path: Path) -> None:
    there = index_folder(Store("s3://bucket/out", "bucket/out"), "embedding", tmp_path)
    assert there.is_relative_to(tmp_path / "search") and there.name == "embedding"
    assert there != index_folder(Store("s3://bucket/b", "bucket/b"), "embedding", tmp_path)


# the command ----------------------------------------------------------------------------------


@pytest.mark.ray
def test_a_text_finds_its_row_in_a_real_output(world: World, tiny: Build, capsys: Any) -> None:
    folder = tiny(text.bert_encoder).folder
    world.lines("a.jsonl", text.LINES)
    world.file["stages"] = [{"task": "text-embedding", "model": str(folder), "pool": {"max": 1}}]
    world.file["keep"] = ["text", "embedding"]
    world.run()
    out = str(world.out.path)
    assert main(["search", out, text.LINES[3], "--json", "--top", "3"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["rank"] for row in report["rows"]] == [1, 2, 3]
    first = report["rows"][0]
    assert (first["_source"], first["_row"], first["text"]) == ("a.jsonl", 3, text.LINES[3])
    assert first["score"] == pytest.approx(1, abs=1e-5) and "embedding" not in first
    assert main(["search", out, "--like", "a.jsonl:3"]) == 0
    shown = capsys.readouterr().out
    assert "a.jsonl" in shown and "London" not in shown


def seen(tiny: Build, path: Path) -> tuple[Library, list[Any]]:
    """An output of pictures, made by a tiny SigLIP; and its rows."""
    files = tiny(comparing.siglip)
    stage = {"task": "image-text-retrieval", "model": str(files.folder)}
    library = Library(path, stage, IMAGE)
    pictures = [{"image": row["image"], "text": f"picture {n}"} for n, row in enumerate(PICTURES)]
    answers: list[Any] = Worker(ImageTextRetrieval(), files).answer(pictures)
    library.add("p", {n: [a[n] for a in answers] for n in ("image_embedding", "text_embedding")})
    return library, answers


def test_pictures_are_found_by_a_text_and_by_a_picture(tiny: Build, tmp_path: Path) -> None:
    library, answers = seen(tiny, tmp_path)
    (asked,) = Worker(ImageTextRetrieval(), tiny(comparing.siglip)).answer([{"text": "a red car"}])
    cosines = np.stack([a["image_embedding"] for a in answers]) @ asked["text_embedding"]
    found = library.search(Query("text", "a red car"), name="image_embedding")
    assert [row["_row"] for row in found] == np.argsort(-cosines).tolist()
    assert_close([row["score"] for row in found], np.sort(cosines)[::-1], 1e-5)
    (same, *_) = library.search(Query("image", PICTURES[2]["image"]), 1, "image_embedding")
    assert (same["_row"], same["rank"]) == (2, 1) and same["score"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("task", "kind"), [("speaker-embedding", "audio"), ("image-feature-extraction", "image")]
)
def test_voices_and_pictures_are_found_by_files(
    task: str, kind: str, tiny: Build, tmp_path: Path
) -> None:
    files, rows = tiny(TINY[task].build), list(TINY[task].good)
    others = {name: str(folder) for name, folder in files.others.items()}
    stage = {"task": task, "model": str(files.folder), "options": others}
    library = Library(tmp_path, stage, pa.schema([(kind, pa.binary())]))
    answers: list[Any] = Worker(library.plan.steps[0].stage, files).answer(rows)
    library.add("a", {"embedding": [answer["embedding"] for answer in answers]})
    (same, *_) = library.search(Query(kind, rows[2][kind]))
    assert same["_row"] == 2 and same["score"] == pytest.approx(1, abs=1e-5)
    with pytest.raises(UsageError, match=f"--{kind} FILE"):
        library.search(Query("text", "a red car"))


def refused(*arguments: str, capsys: Any) -> str:
    assert main(["search", *arguments]) == 2
    said: str = capsys.readouterr().err
    return said


def test_what_cannot_be_searched_is_refused_with_what_can(
    library: Library, tiny: Build, tmp_path: Path, capsys: Any
) -> None:
    out = library.store.path
    assert "no output of gristmill" in refused(str(tmp_path), "x", capsys=capsys)
    assert "no rows yet" in refused(out, "x", capsys=capsys)
    library.vectors("u0", list(clustered(3, 1)))
    assert "takes one query" in refused(out, capsys=capsys)
    assert "takes one query" in refused(out, "x", "--like", "u0:1", capsys=capsys)
    assert "No such file" in refused(out, "--image", "none.png", capsys=capsys)
    assert "did you mean 'embedding'" in refused(out, "x", "--column", "embeding", capsys=capsys)
    assert "turns no image into vectors" in refused(out, "--image", __file__, capsys=capsys)
    assert "cannot be turned into a vector: empty_text" in refused(out, " ", capsys=capsys)
    assert "no vector of u0:7" in refused(out, "--like", "u0:7", capsys=capsys)
    both, _ = seen(tiny, tmp_path / "both")
    assert "--column image_embedding" in refused(both.store.path, "x", capsys=capsys)


def test_an_output_without_vectors_is_refused_with_the_tasks_that_make_them(
    tiny: Build, tmp_path: Path, capsys: Any
) -> None:
    stage = {"task": "text-classification", "model": str(tiny(text.bert_classifier).folder)}
    library = Library(tmp_path, stage, TEXT)
    library.add("u", {"label": ["a"]})
    said = refused(library.store.path, "x", capsys=capsys)
    assert "its stages: text-classification" in said
    assert "image-text-retrieval" in said and "text-embedding" in said


def test_a_missing_package_or_model_is_said(
    library: Library, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.vectors("u0", list(clustered(3, 1)))
    step = library.plan.description["steps"][0]
    step["revision"] = "another"
    library.record()
    assert "--base FOLDER" in refused(library.store.path, "x", capsys=capsys)
    monkeypatch.setitem(sys.modules, "faiss", None)
    said = refused(library.store.path, "--like", "u0:1", capsys=capsys)
    assert "pip install 'gristmill[search]'" in said


def test_a_row_is_named_by_its_source_and_its_number() -> None:
    places = {"a.jsonl:3": ("a.jsonl", 3), "photo.jpg": ("photo.jpg", 0), "a:b:0": ("a:b", 0)}
    assert {like: place_of(like) for like in places} == places


def test_columns_of_the_output_do_not_stand_in_for_the_searchs_own(library: Library) -> None:
    vectors = clustered(4, 1)
    cells = pa.array([list(map(float, v)) for v in vectors], pa.list_(pa.float32()))
    theirs = {"score": [0.9, 0.8, None, 0.6], "rank": list("abcd")}
    library.add("u", {"embedding": cells, **theirs})
    found = library.search(Query(row=("u", 0)))
    cosines = vectors @ vectors[0]
    order = [int(n) for n in np.argsort(-cosines) if n]
    assert [(row["rank"], row["_row"]) for row in found] == list(enumerate(order, 1))
    assert_close([row["score"] for row in found], cosines[order], 1e-6)
    assert [row["output_score"] for row in found] == [theirs["score"][n] for n in order]
    assert [row["output_rank"] for row in found] == [theirs["rank"][n] for n in order]


def test_vectors_that_are_not_finite_are_never_found(library: Library) -> None:
    vectors = clustered(5, 1)
    vectors[1, 3], vectors[2, 0], vectors[3, 1] = np.nan, np.inf, 1e30
    library.vectors("u", list(vectors))
    assert [row["_row"] for row in library.search(Query(row=("u", 0)))] == [4]


@pytest.mark.parametrize("parts", [[[1, 2], [3]], [[1], [2]]])
def test_vectors_of_several_sizes_are_said(library: Library, parts: list[list[int]]) -> None:
    for unit, sizes in enumerate(parts):
        library.vectors(f"u{unit}", [np.ones(size) for size in sizes])
    with pytest.raises(SinkFailed, match=r"'embedding' in .* differ in size"):
        library.search(Query(row=("u0", 0)))


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"format": 1, "made', b"\xff\xfe"])
def test_a_damaged_list_is_built_anew(library: Library, damage: bytes) -> None:
    vectors = filled(library)
    library.nearest(vectors[0], 1)
    (library.folder() / "index.json").write_bytes(damage)
    assert library.nearest(vectors[3], 1) == [("u0", 3)]
    assert len(library.segments()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_the_index_of_an_output_that_may_only_be_read_is_kept_elsewhere(library: Library) -> None:
    vectors = filled(library)
    ours = Path(library.store.path) / "_gristmill"
    ours.chmod(0o555)
    assert library.folder().is_relative_to(library.path / "cache")
    other = index_folder(Store.at("/proc", library.path), "embedding", library.path / "cache")
    assert other.is_relative_to(library.path / "cache") and other != library.folder()
    assert library.nearest(vectors[3], 1) == [("u0", 3)]
    ours.chmod(0o755)


def test_flags_may_stand_between_the_output_and_the_text(tiny: Build, library: Library) -> None:
    library.vectors("u0", list(clustered(3, 1)))
    assert main(["search", library.store.path, "--top", "2", "a text"]) == 0
    with pytest.raises(SystemExit):
        main(["search", library.store.path, "--top", "2", "a text", "another"])
