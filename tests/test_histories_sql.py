"""Any history of a table in a database: each of its rows stands once, as it is now."""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.nights import Nights

CHANGE = st.tuples(
    st.sampled_from(["add", "add", "update", "delete"]), st.integers(0, 9), st.integers(0, 4)
)
NIGHTS = st.lists(st.tuples(st.lists(CHANGE, max_size=8), st.booleans()), min_size=2, max_size=6)


def change(there: sqlite3.Connection, cursor: str | None, what: str, key: int, at: int) -> None:
    """Keys and cursors are few, so that they come again and fall together on borders. Without a
    cursor, a row that takes the place of one with its key is not told from it, so it is the same.
    """
    if what == "add":
        there.execute("INSERT OR IGNORE INTO t VALUES (?, ?, NULL)", (key, at if cursor else 0))
    elif what == "update":  # of what ranges are cut over, and so of what is seen
        name = "at" if cursor else "id"
        there.execute(f"UPDATE OR IGNORE t SET {name} = ? WHERE id = ?", (at, key))
    else:
        there.execute("DELETE FROM t WHERE id = ?", (key,))


def night(nights: Nights, changes: list[Any], early: bool) -> None:
    """Change the table and run; or run, after it, with a listing from before."""
    with closing(sqlite3.connect(nights.path / "in.db")) as there:
        prepared = nights.prepare() if early and rows(there) else None
        for one in changes:
            change(there, nights.file["source"]["cursor"], *one)
        there.commit()
        if not rows(there) and not nights.parts():
            return
        nights.run()
        if prepared:
            nights.go(prepared)
        found = sorted(nights.data().values()) if nights.parts() else []
        assert found == rows(there)


def rows(there: sqlite3.Connection) -> list[tuple[int, int]]:
    return there.execute("SELECT id, at FROM t ORDER BY id").fetchall()


@pytest.mark.parametrize("cursor", [None, "at"])
def test_after_any_history_of_a_table_each_row_stands_once_as_it_is(
    cursor: str | None,
) -> None:
    @settings(max_examples=20, deadline=None)
    @given(NIGHTS)
    def histories(given: list[Any]) -> None:
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
            nights = Nights(Path(folder), patched, "sql")
            with closing(sqlite3.connect(nights.path / "in.db")) as there:
                there.execute(
                    "CREATE TABLE t (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, name TEXT)"
                )
            source = {"kind": "sql", "url": "sqlite:///in.db", "table": "t", "key": "id"}
            nights.file["source"] = source | {"range_rows": 2, "cursor": cursor}
            nights.file |= {"keep": ["id", "at"], "on_change": "reprocess", "on_delete": "drop"}
            nights.file["stages"][0]["input"] = {"text": "name"}
            for changes, early in given:
                night(nights, changes, early)

    histories()
