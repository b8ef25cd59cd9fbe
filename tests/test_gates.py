"""Gates: what the plan refuses, what the rows are measured by, and what the run makes of it."""

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from actors.errors import UsageError
from jobs.progress import print_summary
from jobs.show import show
from jobs.telling.telling import _ended
from pipelines import graph
from pipelines.file import parse
from pipelines.gates import Gates, check_gates
from pipelines.held import release
from pipelines.lock import Lock
from pipelines.parts import Answers, Footer, place
from pipelines.store import DATA, Store
from pipelines.verdict import Verdict, judge, last_shares, total_variation
from tests.world import World

ENTITY = pa.struct([("label", pa.string()), ("score", pa.float32())])
COLUMNS = pa.schema(
    [
        ("_source", pa.string()),
        ("_row", pa.int64()),
        ("mood", pa.string()),
        ("score", pa.float64()),
        ("entities", pa.list_(ENTITY)),
    ]
)
FLOWING = ["mood", "score", "entities", "text"]
WRONG = {
    "unknown": (
        {"columns": {"moods": {"nulls": 0}}},
        "p.yaml, gates, columns, moods: there is no column 'moods' (did you mean 'mood'?).\n"
        "  columns: mood, score, entities",
    ),
    "not kept": (
        {"columns": {"text": {"nulls": 0}}},
        "p.yaml, gates, columns, text: column 'text' is not written, so its values cannot be "
        "looked at.\n  add it to  keep: [mood, score, entities, text]",
    ),
    "no number": (
        {"columns": {"mood": {"min": 0}}},
        "p.yaml, gates, columns, mood: min and max are for numbers, and the column holds string.",
    ),
    "struct": (
        {"columns": {"entities": {"max": 1}}},
        "p.yaml, gates, columns, entities: min and max are for numbers, and the column holds "
        "struct<label: string, score: float>.\n"
        "  name one of its fields after a dot: label, score",
    ),
    "field": (
        {"columns": {"entities.lable": {"nulls": 0}}},
        "p.yaml, gates, columns, entities.lable: there is no field 'lable' (did you mean "
        "'label'?).\n  fields there: label, score",
    ),
    "label type": (
        {"columns": {"mood": {"labels": ["good", 1]}}},
        "p.yaml, gates, columns, mood: the column holds string, and labels has 1.",
    ),
    "drift of floats": (
        {"columns": {"score": {"drift": 0.1}}},
        "p.yaml, gates, columns, score: drift is for text, whole numbers, true and false, and the "
        "column holds double.",
    ),
}


@pytest.mark.parametrize(("given", "said"), WRONG.values(), ids=WRONG)
def test_a_gate_that_cannot_be_checked_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        check_gates(Gates.model_validate(given), "p.yaml", COLUMNS, FLOWING)
    assert str(error.value) == said


FILES = {
    "empty": ({}, "p.yaml: 'gates' has no gate; add rows, rejected or columns, or leave it out."),
    "order": (
        {"rows": {"min": 3, "max": 1}},
        "p.yaml, gates: 'rows' has min 3, more than max 1.",
    ),
    "no check": (
        {"columns": {"mood": {"action": "warn"}}},
        "p.yaml, gates, columns: 'mood' checks nothing; say what it expects.",
    ),
    "key": (
        {"rejected": {"mx": 1}},
        "p.yaml, gates, rejected: unknown key 'mx' (did you mean 'max'?).\n"
        "  keys here: action, max",
    ),
}


@pytest.mark.parametrize(("given", "said"), FILES.values(), ids=FILES)
def test_a_block_that_says_nothing_sensible_is_refused(given: Any, said: str) -> None:
    data = {
        "name": "p",
        "source": {"kind": "jsonl", "path": "in"},
        "stages": [{"task": "ner"}],
        "sink": {"path": "out"},
        "gates": given,
    }
    with pytest.raises(UsageError) as error:
        parse(data, "p.yaml")
    assert str(error.value) == said


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.at("out", tmp_path)
    made.prepare()
    made.held.prepare()
    return made


def hold(store: Store, name: str, rows: list[tuple], rejected: int = 0) -> None:
    """Put a held part in place: (mood, score, entities) for each row."""
    columns = list(zip(*rows, strict=True)) if rows else [[], [], []]
    table = pa.table(
        {
            "_source": [name] * len(rows),
            "_row": pa.array(range(len(rows)), pa.int64()),
            **{
                field.name: pa.array(list(column), field.type)
                for field, column in zip(list(COLUMNS)[2:], columns, strict=True)
            },
        }
    )
    keys = {"_source": [name] * rejected, "_row": [len(rows) + n for n in range(rejected)]}
    rejects = pa.table(keys | {"reason": ["bad"] * rejected})
    total = len(rows) + rejected
    answers = (Answers(name, "v1", 0, total, total),)
    footer = Footer(name, 0, "r", len(rows), rejected, answers, "f")
    place(store.held, table, rejects, footer)


def judged(store: Store, **gates: Any) -> Verdict:
    return judge(store, Gates.model_validate(gates), COLUMNS, "r", 0.0)


def ill(verdict: Verdict) -> dict[str, str]:
    """The gates that do not hold, and what was seen."""
    return {finding.gate: finding.seen for finding in verdict.problems}


GOOD = ("good", 0.5, [{"label": "PER", "score": 0.9}])


def test_all_held_rows_are_measured_by_every_gate(store: Store) -> None:
    with Lock(store, "r").held():
        hold(store, "a", [GOOD, ("bad", -1.0, []), ("odd", 2.0, None)], rejected=1)
        hold(store, "b", [GOOD, (None, math.nan, [{"label": "X", "score": 0.1}, GOOD[2][0]])])
    verdict = judged(
        store,
        rows={"min": 6, "max": 10},
        rejected={"max": 0.1},
        columns={
            "score": {"min": 0, "max": 1},
            "mood": {"labels": ["good", "bad"], "nulls": 0.1},
            "entities.label": {"labels": ["PER"]},
            "entities.score": {"min": 0.5, "action": "warn"},
            "entities": {"nulls": 0.5},
        },
    )
    assert ill(verdict) == {
        "rows": "5",
        "rejected": "16.67% of 6 rows",
        "score range": "-1 to 2, 3 outside",
        "mood labels": "1 other values",
        "mood nulls": "20.00% of 5",
        "entities.label labels": "1 other values",
        "entities.score range": "0.1 to 0.9, 1 outside",
    }
    examples = {finding.gate: finding.examples for finding in verdict.problems}
    assert examples["score range"] == ("a row 1: -1.0", "a row 2: 2.0", "b row 1: NaN")
    assert examples["entities.label labels"] == ('b row 1: "X"',)
    assert examples["rejected"] == ('a row 3: "bad"',)
    assert (verdict.passes, verdict.rows, verdict.rejected) == (False, 5, 1)


def test_a_warning_does_not_hold_rows_back(store: Store) -> None:
    with Lock(store, "r").held():
        hold(store, "a", [GOOD])
    verdict = judged(store, rows={"min": 2, "action": "warn"})
    assert (ill(verdict), verdict.passes) == ({"rows": "1"}, True)


def test_drift_is_the_share_that_changed_since_the_last_accepted_run_and_warns(
    store: Store,
) -> None:
    gates = {"columns": {"mood": {"drift": 0.2}}}
    with Lock(store, "r").held():
        hold(store, "a", [GOOD, GOOD, GOOD, ("bad", 0.1, [])])
        first = judged(store, **gates)
        release(store, "r", first.as_dict() | {"state": "released"})
        hold(store, "b", [GOOD, ("bad", 0.1, [])])
    assert (first.findings, last_shares(store)) == ((), {"mood": {"good": 0.75, "bad": 0.25}})
    verdict = judged(store, **gates)
    assert (ill(verdict), verdict.passes) == ({"mood drift": "0.25"}, True)
    assert verdict.problems[0].examples[0] == "bad: 25.0% -> 50.0%"


def test_total_variation_is_half_the_sum_of_differences() -> None:
    assert total_variation({"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.5}) == 0
    assert total_variation({"a": 1.0}, {"b": 1.0}) == 1
    assert total_variation({"a": 0.7, "b": 0.3}, {"a": 0.5, "b": 0.5}) == pytest.approx(0.2)


@pytest.mark.ray
def test_nights_are_held_looked_at_again_and_released(world: World, monkeypatch, capsys) -> None:
    """A night fails its gate, the next adds rows, then the file's gate changes."""
    world.file["gates"] = {"rejected": {"max": 0.1}}
    world.lines("a.jsonl", ["x", "bad"])
    first = world.run()
    print_summary(first)
    said = capsys.readouterr().err
    assert "50.00% of 2 rows" in said
    assert "1 rows and 1 rejects are held" in said
    assert "gristmill run FILE --accept-held" in said
    assert (first.exit_code, first.rows, first.rejected, first.held) == (1, 0, 0, 2)
    assert world.parts() == []
    world.lines("b.jsonl", ["y", "z"])
    second = world.run()
    assert (second.status.rows, second.held) == (2, 4)
    assert show("out", world.path)["held"] == {"rows": 3, "rejected": 1}
    assert [r["state"] for r in show("out", world.path)["runs"]] == ["held", "held"]
    world.file["gates"] = {"rejected": {"max": 0.3}}
    monkeypatch.setattr(graph, "run", lambda *_: pytest.fail("the graph ran"))
    third = world.run()
    assert (third.exit_code, third.rows, third.rejected, third.held) == (0, 3, 1, 0)
    assert world.data() == {("a.jsonl", 0): "X", ("b.jsonl", 0): "Y", ("b.jsonl", 1): "Z"}
    assert world.rejects() == {("a.jsonl", 1): "stage_error"}
    assert world.run().verdict is None


@pytest.mark.ray
@pytest.mark.chaos
def test_a_run_without_new_rows_fails_where_rows_are_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.file["gates"] = {"rows": {"min": 1}, "columns": {"upper": {"nulls": 0}}}
    world.lines("a.jsonl", ["x"])
    assert world.run().exit_code == 0
    world.lines("b.jsonl", [])
    empty = world.run()
    assert (empty.exit_code, empty.held) == (1, 0)
    assert world.run(held="discard").exit_code == 0
    (world.path / "in" / "b.jsonl").unlink()
    monkeypatch.setattr(graph, "run", lambda *_: pytest.fail("the graph ran"))
    none = world.run()
    print_summary(none)
    assert (none.exit_code, none.held, none.rows, none.status) == (1, 0, 1, None)
    said = capsys.readouterr().err
    assert "rows  at least 1  0     fail" in said and "no new rows came" in said
    assert "--accept-held" not in said
    assert _ended(none) == ("gate", "no new rows came; rows: expected at least 1, seen 0")
    assert show("out", world.path)["runs"][-1]["state"] == "held"
    world.file["gates"]["rows"]["action"] = "warn"
    assert world.run().exit_code == 0
    world.file["gates"]["rows"] = {"max": 9}
    assert (world.run().exit_code, world.run().verdict) == (0, None)


@pytest.mark.ray
def test_a_person_decides_about_held_rows_by_name(world: World, monkeypatch) -> None:
    world.file["gates"] = {"rows": {"min": 5}}
    world.lines("a.jsonl", ["x"])
    with pytest.raises(UsageError, match=r"--accept-held: .* holds no rows back"):
        world.run(held="accept")
    assert world.run().exit_code == 1
    monkeypatch.setattr(graph, "run", lambda *_: pytest.fail("the graph ran"))
    with pytest.raises(UsageError, match="--discard-held and --limit"):
        world.run(held="discard", limit=1)
    kept = world.run(held="accept")
    assert (kept.exit_code, kept.rows, world.data()) == (0, 1, {("a.jsonl", 0): "X"})
    assert kept.verdict.by and "@" in kept.verdict.by
    assert world.out.held.names(DATA) == []


@pytest.mark.ray
@pytest.mark.chaos
def test_changed_files_and_retries_go_through_the_gates_too(world: World) -> None:
    world.file |= {"on_change": "reprocess", "gates": {"rejected": {"max": 0.5}}}
    world.lines("a.jsonl", ["x", "bad", "y"])
    assert world.run().exit_code == 0
    world.file["gates"] = {"rejected": {"max": 0.5}, "rows": {"min": 9}}
    retried = world.run(retry_rejects=True)
    dropped = world.run(held="discard")
    assert (dropped.exit_code, dropped.held, dropped.verdict.state) == (0, 0, "discarded")
    assert (retried.held, world.rejects("attempts")) == (1, {("a.jsonl", 1): (1,)})
    world.lines("a.jsonl", ["new"])
    assert world.run().held == 1
    assert world.data() == {("a.jsonl", 0): "X", ("a.jsonl", 2): "Y"}
    del world.file["gates"]
    assert world.run().exit_code == 0
    assert (world.data(), world.rejects()) == ({("a.jsonl", 0): "NEW"}, {})
