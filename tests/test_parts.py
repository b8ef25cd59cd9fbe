"""A commit puts the rejects first, then the data; twice is once; the footer says it all."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from actors.errors import SinkFailed
from pipelines.lock import Lock
from pipelines.parts import KEY, Answers, Footer, commit, part_name, read_footer
from pipelines.store import DATA, REJECTS, Store
from pipelines.units import Unit
from tests.mill import WHEN, Corpus, footer, places

CORPUS = Corpus({"a": (4, "v1")}, frozenset({("a", 1)}))
UNIT = Unit((CORPUS.extents()["a"].span(0, 4),))


@dataclass(frozen=True)
class Noting(Store):
    """A store that notes what is put and deleted, in order."""

    done: list[tuple[str, str]] = field(default_factory=list)

    def put(self, name, content) -> None:
        super().put(name, content)
        self.done.append(("put", name))

    def delete(self, name: str) -> None:
        super().delete(name)
        self.done.append(("delete", name))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Noting]:
    made = Noting("", str(tmp_path / "out"))
    made.prepare()
    with Lock(made, "run").held():
        made.done.clear()
        yield made


def put(store: Store, corpus: Corpus = CORPUS, unit: Unit = UNIT, generation: int = 0) -> Footer:
    said = footer(corpus, unit, UNIT.id, generation, "run")
    commit(store, corpus.table(unit), said, {("a", 1): generation} if generation else {})
    return said


def test_rejects_are_in_place_before_the_data(store: Noting) -> None:
    name = put(store).name
    assert store.done == [("put", f"{REJECTS}/{name}"), ("put", f"{DATA}/{name}")]


def test_a_retry_removes_the_older_rejects_last(store: Noting) -> None:
    put(store)
    store.done.clear()
    only = Unit((CORPUS.extents()["a"].span(1, 2),))
    name = put(store, unit=only, generation=1).name
    assert store.done == [
        ("put", f"{REJECTS}/{name}"),
        ("put", f"{DATA}/{name}"),
        ("delete", f"{REJECTS}/{part_name(UNIT.id, 0)}"),
    ]
    assert places(store) == CORPUS.places()


def test_committing_twice_is_committing_once(store: Noting) -> None:
    put(store)
    put(store)
    assert places(store) == CORPUS.places()


def test_a_repeated_commit_without_rejects_leaves_none(store: Noting) -> None:
    put(store)
    put(store, replace(CORPUS, bad=frozenset()))
    assert store.names(REJECTS) == []
    assert len(places(store)) == 4


def test_a_unit_whose_rows_are_all_rejected_has_a_data_part_without_rows(store: Noting) -> None:
    bad = replace(CORPUS, bad=frozenset(CORPUS.places()))
    name = put(store, bad).name
    table = ds.dataset(store.full(DATA)).to_table()
    assert table.num_rows == 0
    assert table.schema.remove_metadata() == pa.schema(
        [("_source", pa.string()), ("_row", pa.int64()), ("text", pa.string())]
    )
    assert read_footer(store, DATA, name).rejected == 4


def test_rejects_say_where_why_when_and_how_often_and_show_small_inputs(store: Noting) -> None:
    put(store)
    name = put(store, unit=Unit((CORPUS.extents()["a"].span(1, 2),)), generation=1).name
    assert pq.read_table(store.full(f"{REJECTS}/{name}")).to_pylist() == [
        {
            "_source": "a",
            "_row": 1,
            "stage": "echo",
            "reason": "bad",
            "message": "a bad row",
            "attempts": 2,
            "when": WHEN,
            "text": "v1",
        }
    ]


def test_the_footer_reads_back_as_it_was_written(store: Noting) -> None:
    said = put(store)
    found = read_footer(store, DATA, said.name)
    assert found == replace(said, commit=found.commit)
    assert found.answers == (Answers("a", "v1", 0, 4, 4),)
    assert read_footer(store, REJECTS, said.name) == found


def test_each_commit_is_told_from_others_of_the_same_unit(store: Noting) -> None:
    first = read_footer(store, DATA, put(store).name)
    assert read_footer(store, DATA, put(store).name).commit != first.commit


def test_a_footer_of_another_format_is_refused_with_what_to_do(store: Noting) -> None:
    text = replace(put(store), format=99).dumps()
    table = pa.table({"a": [1]}).replace_schema_metadata({KEY: text})
    pq.write_table(table, store.full(f"{DATA}/other.parquet"))
    with pytest.raises(SinkFailed, match=r"format 99.*\n  use that version, or a new output"):
        read_footer(store, DATA, "other.parquet")
