"""Files that come late, are still being written, or are gone: what a run does, and what it says."""

import json
import os
import pickle
import random
import time
from pathlib import Path

import pytest

from actors.errors import StillWritten, UsageError
from jobs.planning.plan import plan_report, print_plan
from jobs.show import show
from pipelines.sources import Text
from pipelines.sources.settling import is_unfinished, split
from pipelines.units import SourceFile
from tests.nights import Nights

NOW = 1_800_000_000.0


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nights:
    return Nights(tmp_path, monkeypatch)


def aged(name: str, age: float) -> SourceFile:
    when = int((NOW - age) * 1e9)
    return SourceFile(name, 5, f"5-{when}", f"/{name}")


def test_files_younger_than_the_settle_time_wait_and_say_why() -> None:
    old, young = aged("old", 61), aged("young", 12)
    settled, waiting = split([old, young], 60, NOW)
    assert settled == [old]
    assert waiting == {"young": "it changed 12 s ago, and settle is 60 s"}


def test_a_file_from_the_future_waits_and_the_clock_is_blamed() -> None:
    _, waiting = split([aged("a", -3600)], 60, NOW)
    assert waiting["a"].startswith("its time is 3600 s ahead of this machine's clock")


def test_without_a_settle_time_or_without_a_time_no_file_waits() -> None:
    assert split([aged("a", -5)], 0, NOW)[1] == {}
    assert (
        split([SourceFile("a", 5, "5-0", "/a"), SourceFile("b", 5, "f00d", "/b")], 60, NOW)[1] == {}
    )


@pytest.mark.parametrize("name", ["a.tmp", "a.csv.part", "b.crdownload", "c.jsonl._COPYING_", "d~"])
def test_names_of_unfinished_files_are_passed_over_unless_they_are_asked_for(
    tmp_path: Path, name: str
) -> None:
    for each in (name, "whole.txt"):
        (tmp_path / each).write_text("x")
    assert is_unfinished(name)
    assert [f.name for f in Text(path="*.*").files(tmp_path)] == ["whole.txt"]
    assert [f.name for f in Text(path=f"?{name[1:]}").files(tmp_path)] == [name]
    assert [f.name for f in Text(path=name).files(tmp_path)] == [name]


def test_a_file_that_is_still_written_is_left_for_the_next_run(nights: Nights) -> None:
    nights.file["source"]["settle"] = 60
    nights.rows("a.jsonl", {"text": "x"})
    path = nights.rows("b.jsonl", {"text": "y"}, age=5)
    assert set(plan_report(nights.prepare())["waiting files"]) == {"b.jsonl"}
    outcome = nights.run()
    assert (outcome.exit_code, set(outcome.source.waiting)) == (0, {"b.jsonl"})
    assert json.loads(json.dumps(outcome.as_dict(), default=str))["source"]["waiting"]
    assert show("out", nights.path)["runs"][-1]["files"]["waiting"] == 1
    nights.aged(path, 100)
    assert nights.run().source.waiting == {}
    assert nights.data() == {("a.jsonl", 0): "x", ("b.jsonl", 0): "y"}


def test_an_answered_file_that_is_written_again_keeps_its_rows_until_it_has_settled(
    nights: Nights,
) -> None:
    nights.file |= {"on_change": "reprocess", "on_delete": "drop"}
    nights.file["source"]["settle"] = 60
    nights.rows("a.jsonl", {"text": "x"})
    nights.run()
    path = nights.rows("a.jsonl", {"text": "half"}, age=2)
    with pytest.raises(StillWritten):
        nights.run()
    nights.rows("b.jsonl", {"text": "y"})
    nights.run()
    assert nights.data() == {("a.jsonl", 0): "x", ("b.jsonl", 0): "y"}
    nights.aged(path, 100)
    nights.run()
    assert nights.data() == {("a.jsonl", 0): "half", ("b.jsonl", 0): "y"}


def test_where_all_files_are_still_written_there_is_nothing_to_do_and_no_error(
    nights: Nights,
) -> None:
    nights.file["source"]["settle"] = 60
    nights.rows("a.jsonl", {"text": "x"}, age=1)
    with pytest.raises(StillWritten, match=r"\(1\) is still being written\.\n  a.js") as e:
        nights.run()
    assert (e.value.exit_code, set(e.value.waiting)) == (0, {"a.jsonl"})
    assert str(pickle.loads(pickle.dumps(e.value))) == str(e.value)  # noqa: S301


@pytest.mark.parametrize(("settle", "code"), [(0, 1), (60, 0)])
def test_a_file_that_grew_after_it_was_listed_is_an_error_only_where_nothing_may_settle(
    nights: Nights, settle: float, code: int
) -> None:
    nights.file["source"]["settle"] = settle
    nights.rows("a.jsonl", {"text": "x"})
    nights.rows("b.jsonl", {"text": "y"})
    prepared = nights.prepare()
    nights.rows("b.jsonl", {"text": "y"}, {"text": "z"}, age=0)
    outcome = nights.go(prepared)
    assert (outcome.exit_code, set(outcome.source.waiting)) == (
        code,
        {"b.jsonl"} if settle else set(),
    )
    assert nights.file_names() == {"a.jsonl"}


def test_a_late_file_that_is_older_than_the_last_run_is_new(nights: Nights) -> None:
    nights.rows("b.jsonl", {"text": "y"})
    nights.run()
    os.utime(nights.rows("a.jsonl", {"text": "x"}), ns=(0, 1_000_000_000))
    assert nights.run().status.rows == 1
    assert nights.file_names() == {"a.jsonl", "b.jsonl"}


# deleted files ------------------------------------------------------------------------------------


def three(nights: Nights, on_delete: str) -> None:
    """Three files are answered; one of them is deleted."""
    nights.file["on_delete"] = on_delete
    for name in "abc":
        nights.rows(f"{name}.jsonl", {"text": name})
    nights.run()
    (nights.path / "in" / "b.jsonl").unlink()


def test_rows_of_a_deleted_file_are_kept_and_reported_once(nights: Nights) -> None:
    three(nights, "keep")
    assert plan_report(nights.prepare())["deleted files"] == ["b.jsonl"]
    outcome = nights.run()
    assert (outcome.exit_code, outcome.source.deleted) == (0, ("b.jsonl",))
    assert nights.file_names() == {"a.jsonl", "b.jsonl", "c.jsonl"}
    runs = show("out", nights.path)["runs"]
    assert runs[-1]["files"]["deleted"] == 1
    nights.run()
    assert len(show("out", nights.path)["runs"]) == len(runs)


def test_rows_of_a_deleted_file_are_taken_back_without_a_model(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    three(nights, "drop")
    assert plan_report(nights.prepare())["dropped files"] == ["b.jsonl"]
    monkeypatch.setattr("pipelines.graph.run", lambda *_: pytest.fail("the graph ran"))
    outcome = nights.run()
    assert (outcome.exit_code, outcome.rows, outcome.source.dropped) == (0, 2, ("b.jsonl",))
    assert nights.file_names() == {"a.jsonl", "c.jsonl"}
    assert nights.run().source.dropped == ()


def test_a_deleted_file_is_an_error_where_it_is_to_be_one(nights: Nights) -> None:
    three(nights, "error")
    with pytest.raises(UsageError, match=r"'b.jsonl'.*\n.*on_delete: keep\n.*on_delete: drop"):
        nights.run()
    assert nights.file_names() == {"a.jsonl", "b.jsonl", "c.jsonl"}


def test_a_folder_that_lost_most_of_its_files_empties_no_output(nights: Nights) -> None:
    three(nights, "drop")
    (nights.path / "in" / "a.jsonl").unlink()
    said = r"2 of 3 files, and errors: max_dropped allows 50% at once.*\n.*\n.*max_dropped=1"
    for look in (lambda: plan_report(nights.prepare()), nights.run):
        with pytest.raises(UsageError, match=said):
            look()
    assert len(nights.data()) == 3
    nights.file["errors"]["max_dropped"] = 1
    nights.run()
    assert nights.file_names() == {"c.jsonl"}


def test_an_empty_folder_or_none_empties_no_output(nights: Nights) -> None:
    three(nights, "drop")
    nights.file["errors"]["max_dropped"] = 1
    (nights.path / "in").rename(nights.path / "away")
    with pytest.raises(UsageError, match="is not there"):
        nights.run()
    (nights.path / "in").mkdir()
    with pytest.raises(UsageError, match="has no file to read"):
        nights.run()
    assert len(nights.data()) == 3


def test_a_file_that_another_run_answered_after_our_listing_is_not_taken_for_deleted(
    nights: Nights,
) -> None:
    nights.file["on_delete"] = "drop"
    for name in "abc":
        nights.rows(f"{name}.jsonl", {"text": name})
    early = nights.prepare()
    nights.rows("d.jsonl", {"text": "d"})
    nights.run()
    assert nights.go(early).source.dropped == ()
    assert len(nights.data()) == 4


def test_a_renamed_file_is_a_deleted_one_and_a_new_one(nights: Nights) -> None:
    three(nights, "drop")
    (nights.path / "in" / "c.jsonl").rename(nights.path / "in" / "d.jsonl")
    nights.rows("b.jsonl", {"text": "b"}, age=time.time() - 7)
    nights.file["on_change"] = "reprocess"
    nights.run()
    assert nights.file_names() == {"a.jsonl", "b.jsonl", "d.jsonl"}


@pytest.mark.parametrize("seed", range(3))
def test_after_any_nights_each_settled_row_stands_once_and_no_other(
    nights: Nights, seed: int
) -> None:
    nights.file |= {"on_change": "reprocess", "on_delete": "drop"}
    nights.file["errors"]["max_dropped"] = 1
    nights.file["source"] |= {"settle": 60, "columns": {"text": "string"}}
    dice = random.Random(seed)
    there: dict[str, list[str]] = {}
    young: set[str] = set()
    answered: dict[str, list[str]] = {}
    for night in range(12):
        for _ in range(4):
            name = f"{dice.randrange(8)}.jsonl"
            if name in there and dice.random() < 0.3:
                (nights.path / "in" / name).unlink()
                young.discard(name)
                del there[name]
            else:
                there[name] = [f"{night} {n}" for n in range(dice.randrange(4))]
                is_young = dice.random() < 0.4
                (young.add if is_young else young.discard)(name)
                rows = ({"text": text} for text in there[name])
                nights.rows(name, *rows, age=1 if is_young else 100 + 100 * dice.random())
        if there.keys() - young:
            settled = {name: texts for name, texts in there.items() if name not in young}
            answered = {n: t for n, t in answered.items() if n in young} | settled
            nights.run()
        expected = {(f, n): text for f, texts in answered.items() for n, text in enumerate(texts)}
        assert (nights.data() if nights.parts() else {}) == expected


def test_a_plan_counts_the_rows_that_a_changed_file_is_answered_anew(
    nights: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    nights.file["on_change"] = "reprocess"
    for name in "ab":
        nights.rows(f"{name}.jsonl", {"text": name}, {"text": name})
    nights.run()
    nights.rows("b.jsonl", *[{"text": "b"}] * 3, age=60)
    nights.rows("c.jsonl", {"text": "c"})
    report = plan_report(nights.prepare())
    assert (report["new"], report["anew"], report["anew files"]) == (1, 3, 1)
    print_plan(report)
    assert "1 changed file will be answered anew (3 rows)\n" in capsys.readouterr().out
    nights.file["on_change"] = "ignore"
    assert plan_report(nights.prepare())["anew"] == 0
