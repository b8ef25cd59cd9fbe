"""What is taken over of an older output: answers for the same rows of the same files, no others."""

from pathlib import Path

from pipelines.ledger import read_ledger
from pipelines.reuse import Reuse, index_of
from pipelines.store import Store
from pipelines.units import Unit
from tests.mill import Corpus, run

OLD = Corpus({"a": (2, "a1"), "b": (1, "b1")})


def test_rows_of_a_file_that_changed_are_not_taken_over_with_its_neighbours(tmp_path: Path) -> None:
    store = Store.at("out", tmp_path)
    run(store, OLD)  # both files in one part
    assert len(store.names("data")) == 1
    now = Corpus({"a": (2, "a2"), "b": (1, "b1")}).extents()
    unit = Unit((now["a"].span(0, 2), now["b"].span(0, 1)))
    rows = Reuse(store, 1, ("text",), index_of(read_ledger(store))).rows(unit)
    assert rows is not None
    assert rows.to_pylist() == [{"_source": "b", "_row": 0, "text": "b1"}]
