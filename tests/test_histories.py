"""Any history of nights, run without Ray beside a model that says what must stand after each."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from actors.errors import UsageError
from tests.nights import Nights
from tests.tables import KINDS, newest, sink_of

GATES = {"pass": {"rows": {"min": 0}}, "fail": {"rows": {"min": 10**6}}}
TYPES = {"int": pa.int64(), "text": pa.string()}


@dataclass(frozen=True)
class Version:
    """One content of a file: `tick` tells it from all others."""

    tick: int
    kind: str
    rows: int

    @property
    def values(self) -> list[Any]:
        found = [10 * self.tick + row for row in range(self.rows)]
        return [str(value) for value in found] if self.kind == "text" else found


@dataclass
class Model:
    """What must stand: `data` and `held`, file -> version. Mirrors the promises, not the code."""

    on_change: str
    on_delete: str
    gates: bool
    table: bool
    files: dict[str, Version] = field(default_factory=dict)
    data: dict[str, Version] = field(default_factory=dict)
    held: dict[str, Version] = field(default_factory=dict)
    kind: str | None = None
    table_kind: str | None = None

    @property
    def deleted(self) -> set[str]:
        return {*self.data, *self.held} - {*self.files}

    def is_changed(self, name: str) -> bool:
        there = {self.data.get(name), self.held.get(name)} - {None}
        return bool(there) and self.files[name] not in there

    def run(self, how: str, passes: bool) -> int:
        """One night: the exit code, 2 for a refusal, after which all is as before."""
        if not self.files:
            return 2
        fresh = how == "fresh"
        answered = not fresh and (self.data or self.held)
        kind = self.kind if answered else self.files[min(self.files)].kind
        if self.table and self.table_kind not in (None, kind):
            return 2
        if how in ("accept", "discard"):
            if not self.held:
                return 2
            self.table_kind = kind
            self._decide(how)
            return 0
        if fresh:
            self.data, self.held = {}, {}
        changed = [name for name in self.files if self.is_changed(name)]
        refused = (changed and self.on_change == "error") or (
            self.deleted and self.on_delete == "error"
        )
        if refused:
            return 2
        self.kind = self.table_kind = kind
        return self._answer(changed, kind, passes)

    def _decide(self, how: str) -> None:
        if how == "accept":
            gone = self.deleted if self.on_delete == "drop" else set()
            self.data = {n: v for n, v in (self.data | self.held).items() if n not in gone}
        self.held = {}

    def _answer(self, changed: list[str], kind: str, passes: bool) -> int:
        gone = self.deleted if self.on_delete == "drop" else set()
        again = set(changed) if self.on_change == "reprocess" else set()
        new = self.held if self.gates else self.data
        for name in (*gone, *again):
            new.pop(name, None)
        for name in [n for n in self.held if self.data.get(n) == self.files.get(n, self.held[n])]:
            self.held.pop(name)
        seen = {*self.data.items(), *self.held.items()}
        todo = {
            name: version
            for name, version in self.files.items()
            if (name, version) not in seen and (name in again or name not in changed)
        }
        left_out = [name for name, version in todo.items() if version.kind != kind]
        new |= {name: version for name, version in todo.items() if name not in left_out}
        waits = self.gates and bool(self.held) and not passes
        if self.gates and not waits:
            self.data = {n: v for n, v in (self.data | self.held).items() if n not in gone}
            self.held = {}
        # A gate that asks for rows fails of a night without any, too.
        return int(bool(left_out) or (self.gates and not passes))


NAMES = st.sampled_from("abcd")
WRITE = st.tuples(st.just("write"), NAMES, st.sampled_from(["int", "int", "text"]),
                  st.integers(0, 5))  # fmt: skip
CHANGE = st.one_of(
    WRITE,
    WRITE,
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("restore"), NAMES, st.integers(0, 3)),
)
NIGHT = st.tuples(
    st.lists(CHANGE, max_size=4),
    st.sampled_from(["run", "run", "run", "run", "fresh", "accept", "discard"]),
    st.booleans(),
)


class History:
    """The nights of one output, and every version that each file ever had."""

    def __init__(self, nights: Nights, model: Model, sink: str) -> None:
        self.nights, self.model, self.sink = nights, model, sink
        self.ever: dict[str, list[Version]] = {}
        self.tick = 0
        nights.file |= {
            "keep": ["n"],
            "on_change": model.on_change,
            "on_delete": model.on_delete,
            "errors": {"max_dropped": 1.0},
        }
        if sink != "parquet":
            nights.file["sink"] = sink_of(sink, nights.path)

    def change(self, what: str, name: str, *how: Any) -> None:
        if what == "delete":
            self.model.files.pop(name, None)
            (self.nights.path / "in" / name).with_suffix(".parquet").unlink(missing_ok=True)
        elif what == "write":
            self.tick += 1
            self.ever.setdefault(name, []).append(Version(self.tick, *how))
            self.put(name, self.ever[name][-1])
        elif self.ever.get(name):
            self.put(name, self.ever[name][how[0] % len(self.ever[name])])

    def put(self, name: str, version: Version) -> None:
        self.model.files[name] = version
        columns = {
            "text": [""] * version.rows,
            "n": pa.array(version.values, TYPES[version.kind]),
        }
        path = self.nights.write(f"{name}.parquet", columns)
        when = 10**18 + version.tick * 10**9
        os.utime(path, ns=(when, when))

    def night(self, how: str, passes: bool) -> None:
        if self.model.gates:
            self.nights.file["gates"] = GATES["pass" if passes else "fail"]
        held = {"held": how} if how in ("accept", "discard") else {}
        try:
            outcome = self.nights.run(fresh=how == "fresh", **held)
            code = outcome.exit_code
        except UsageError as error:
            note(str(error))
            code = 2
        assert code == self.model.run(how, passes)
        self.check()

    def check(self) -> None:
        wanted = {
            (f"{name}.parquet", row): value
            for name, version in self.model.data.items()
            for row, value in enumerate(version.values)
        }
        if self.nights.parts():
            assert self.nights.data() == wanted
            self.nights.table()  # all parts have one schema
        else:
            assert wanted == {}
        if self.sink != "parquet":
            found = newest(self.sink, self.nights.path)
            assert len(found) == len(wanted)
            assert {(row["_source"], row["_row"]): row["n"] for row in found} == wanted


@pytest.fixture
def patched() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as found:
        yield found


SINKS = [("parquet", 60), *((kind, 6) for kind in KINDS)]


@pytest.mark.parametrize(("sink", "examples"), SINKS)
def test_after_any_history_of_nights_each_row_stands_where_it_must(
    sink: str, examples: int, patched: pytest.MonkeyPatch
) -> None:
    @settings(
        max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(
        st.sampled_from(["reprocess", "reprocess", "ignore", "error"]),
        st.sampled_from(["keep", "drop", "error"]),
        st.booleans(),
        st.lists(NIGHT, min_size=2, max_size=6),
    )
    def histories(on_change: str, on_delete: str, gates: bool, nights: list[Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            model = Model(on_change, on_delete, gates, sink != "parquet")
            history = History(Nights(Path(folder), patched, "parquet"), model, sink)
            for changes, how, passes in nights:
                for change in changes:
                    history.change(*change)
                history.night(how, passes)

    histories()
