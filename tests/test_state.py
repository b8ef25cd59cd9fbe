"""What there is to do: told by names and versions, and refused when they do not agree."""

from dataclasses import replace
from pathlib import Path

import pytest

from actors.errors import UsageError
from pipelines.ledger import Ledger, read_ledger
from pipelines.record import Record, check_same, write
from pipelines.state import check_root, sort_files, work_of
from pipelines.store import Store
from pipelines.units import SourceFile
from tests.mill import Corpus, run
from tests.world import World

CORPUS = Corpus({"a.txt": (3, "v1"), "b.txt": (2, "v1")}, frozenset())


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    store = Store.at("out", tmp_path)
    run(store, CORPUS)
    return read_ledger(store)


def files(**changes: str) -> list[SourceFile]:
    found = [extent.file for extent in CORPUS.extents().values()]
    return [replace(f, name=changes.get(f.name.removesuffix(".txt"), f.name)) for f in found]


def test_files_under_another_root_are_not_answered_a_second_time(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match=r"'t/a.txt' was 'a.txt'"):
        check_root(files(a="t/a.txt", b="t/b.txt"), ledger)


def test_a_file_that_moved_while_others_stayed_is_a_new_file(ledger: Ledger) -> None:
    moved = files(a="t/a.txt")
    check_root(moved, ledger)
    found = sort_files(moved, ledger)
    assert [f.name for f in found.todo] == ["t/a.txt"]
    assert [f.name for f in found.finished] == ["b.txt"]


def test_the_bytes_that_are_left_are_those_not_answered(ledger: Ledger) -> None:
    new = SourceFile("c.txt", 100, "v1", "/c.txt")
    assert work_of(ledger, sort_files([*files(), new], ledger)).bytes == 100


def test_a_changed_way_of_reading_and_a_changed_option_are_named(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.lines("a.jsonl", ["one"])
    old = world.prepare()
    old.store.prepare()
    record = Record("r1", "done", 0, 1, old.plan.fingerprint, old.plan.description, {}, {})
    write(old.store, record)
    world.file["source"]["max_bytes"] = 999
    world.file["stages"][0]["options"] = {"suffix": "!"}
    world.file["keep"] = ["upper", "score"]
    new = world.prepare()
    with pytest.raises(UsageError) as caught:
        check_same(new.store, _answered_under(old.plan.fingerprint), new.plan)
    assert [line.strip() for line in str(caught.value).splitlines()[1:4]] == [
        "source, max_bytes: 16777216 -> 999",
        "stage 1 (tests.stages.echo:Echo), options, suffix:  -> !",
        "columns, score: none -> float",
    ]


def _answered_under(fingerprint: str) -> Ledger:
    from pipelines.parts import Footer

    return Ledger([Footer("u", 0, "r1", 1, 0, (), fingerprint)])


def test_an_output_cannot_be_reused_into_itself(tmp_path: Path, monkeypatch) -> None:
    world = World(tmp_path)
    world.lines("a.jsonl", ["one"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="this is the output that the run writes to"):
        world.run(reuse="out")
