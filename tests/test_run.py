"""Whole runs on a real Ray: what is answered, what is not, and what the next run does."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import ray

from actors.errors import LockLost, StageFailed, UsageError
from pipelines import graph
from pipelines.dispatch import Dispatcher, Work
from pipelines.flow import Job
from pipelines.lock import Lock
from pipelines.pools import sizes
from tests.world import ECHO, World

pytestmark = pytest.mark.ray

BAD = ["one", "bad", None, "kill", "bad prepare", "bad finish", "six"]
REASONS = {1: "stage_error", 2: "null_input", 3: "killed_worker"} | dict.fromkeys(
    (4, 5), "stage_error"
)


def test_every_row_ends_in_data_or_rejects_with_its_reason(world: World) -> None:
    world.lines("a.jsonl", BAD).open("a").write("{no json\n")
    world.lines("b.jsonl", ["x", "y"])
    outcome = world.run()
    assert world.data() == {
        ("a.jsonl", 0): "ONE",
        ("a.jsonl", 6): "SIX",
        ("b.jsonl", 0): "X",
        ("b.jsonl", 1): "Y",
    }
    expected = {("a.jsonl", row): reason for row, reason in REASONS.items()}
    assert world.rejects() == expected | {("a.jsonl", 7): "bad_json"}
    assert (outcome.exit_code, outcome.rows, outcome.rejected) == (0, 4, 6)


def test_nothing_to_do_needs_no_ray_and_changes_nothing(world: World, monkeypatch) -> None:
    world.lines("a.jsonl", ["x", "bad"])
    world.run()
    before = world.parts()
    monkeypatch.setattr(graph, "run", lambda *_: pytest.fail("the graph ran"))
    outcome = world.run()
    assert (outcome.exit_code, outcome.rows, outcome.rejected, outcome.status) == (0, 1, 1, None)
    assert world.parts() == before


def test_parquet_with_bad_rows_and_files_without_rows(world: World) -> None:
    world.file["source"]["kind"] = "parquet"
    world.table("a.parquet", BAD)
    world.table("empty.parquet", [])
    world.run()
    assert world.data() == {("a.parquet", 0): "ONE", ("a.parquet", 6): "SIX"}
    assert world.rejects() == {("a.parquet", row): reason for row, reason in REASONS.items()}


def test_an_empty_file_is_finished_too(world: World, monkeypatch) -> None:
    world.file["source"]["kind"] = "parquet"
    world.table("a.parquet", [])
    assert world.run().exit_code == 0
    monkeypatch.setattr(graph, "run", lambda *_: pytest.fail("the graph ran"))
    assert world.run().rows == 0


def test_text_files_are_rows(world: World) -> None:
    for name, text in {"a.txt": "x", "sub/b.txt": "bad", "sub/a b#%.md": "z"}.items():
        path = world.path / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    world.file["source"]["kind"] = "text"
    world.file["keep"] = ["upper", "path"]
    world.run()
    assert world.data() == {
        ("a.txt", 0): ("X", f"{world.path}/in/a.txt"),
        ("sub/a b#%.md", 0): ("Z", f"{world.path}/in/sub/a b#%.md"),
    }
    assert world.rejects() == {("sub/b.txt", 0): "stage_error"}


def test_new_files_are_answered_and_finished_ones_are_not_opened_again(world: World) -> None:
    world.lines("a.jsonl", ["x", "y"])
    world.run()
    old = world.path / "in" / "a.jsonl"
    told = old.stat()
    old.write_bytes(b"\0" * told.st_size)
    os.utime(old, ns=(told.st_atime_ns, told.st_mtime_ns))
    world.lines("b.jsonl", ["z"])
    outcome = world.run()
    assert outcome.status.rows == 1
    assert world.data() == {("a.jsonl", 0): "X", ("a.jsonl", 1): "Y", ("b.jsonl", 0): "Z"}


def test_a_limit_bounds_what_is_answered_now(world: World) -> None:
    world.lines("a.jsonl", [f"r{n}" for n in range(10)])
    assert world.run(limit=3).status.rows == 3
    assert world.run(limit=3).status.rows == 3
    world.run()
    assert world.data() == {("a.jsonl", n): f"R{n}" for n in range(10)}


def test_rejects_that_succeed_at_the_next_try_move_to_data(world: World) -> None:
    needed = world.path / "needed"
    world.lines("a.jsonl", ["x", f"needs {needed}", "bad", "y"])
    world.run()
    assert set(world.rejects()) == {("a.jsonl", 1), ("a.jsonl", 2)}
    needed.touch()
    world.run(retry_rejects=True)
    assert world.rejects("reason", "attempts") == {("a.jsonl", 2): ("stage_error", 2)}
    world.run(retry_rejects=True)
    assert world.rejects("attempts") == {("a.jsonl", 2): (3,)}
    upper = f"needs {needed}".upper()
    assert world.data() == {("a.jsonl", 0): "X", ("a.jsonl", 1): upper, ("a.jsonl", 3): "Y"}


def change(world: World) -> None:
    """Two files that share a part are answered; then one of them changes."""
    world.lines("a.jsonl", ["a", "bad"])
    world.lines("b.jsonl", ["b", "bad"])
    world.run()
    assert len(world.parts()) == 1
    world.lines("a.jsonl", ["new", "newer", "bad"])


def test_a_changed_file_is_an_error_until_it_is_said_what_to_do(world: World) -> None:
    change(world)
    before = world.data()
    with pytest.raises(UsageError, match=r"'a.jsonl'.*\n.*on_change: reprocess\n.*ignore"):
        world.run()
    world.file["on_change"] = "ignore"
    assert world.run().status is None
    assert world.data() == before
    world.file["on_change"] = "reprocess"
    world.run()
    assert world.data() == {
        ("a.jsonl", 0): "NEW",
        ("a.jsonl", 1): "NEWER",
        ("b.jsonl", 0): "B",
    }
    assert world.rejects() == {("a.jsonl", 2): "stage_error", ("b.jsonl", 1): "stage_error"}


def test_a_changed_pipeline_is_refused_with_the_change_and_fresh_starts_anew(world: World) -> None:
    world.lines("a.jsonl", ["x"])
    world.run()
    world.file["stages"][0]["options"] = {"suffix": "!"}
    with pytest.raises(UsageError, match=r"stage 1 \(.*\), options, suffix:  -> !"):
        world.run()
    assert world.data() == {("a.jsonl", 0): "X"}
    world.run(fresh=True)
    assert world.data() == {("a.jsonl", 0): "X!"}


def test_reuse_takes_unchanged_stages_over_and_runs_the_others(world: World) -> None:
    needed = world.path / "needed"
    needed.touch()
    world.lines("a.jsonl", ["x", f"needs {needed}", "bad"])
    world.stages({}, {"suffix": "1"})
    world.run()
    needed.unlink()  # the first stage could not answer row 1 now
    world.stages({}, {"suffix": "2"})
    world.file["sink"]["path"] = "out2"
    world.run(reuse=str(world.path / "out"))
    upper = f"needs {needed}".upper()
    assert world.data() == {("a.jsonl", 0): ("X", "X2"), ("a.jsonl", 1): (upper, upper + "2")}
    assert world.rejects("stage") == {("a.jsonl", 2): (ECHO,)}


def test_a_stage_does_not_see_what_an_earlier_one_rejected(world: World) -> None:
    world.lines("a.jsonl", ["x", "bad", "y"])
    world.stages({}, {})
    status = world.run().status
    assert [step.rows for step in status.steps.values()] == [3, 2]
    assert world.data() == {("a.jsonl", 0): ("X", "X"), ("a.jsonl", 2): ("Y", "Y")}


def test_files_that_vanish_or_change_meanwhile_are_left_to_the_next_run(world: World) -> None:
    for name in ("a", "b", "c"):
        world.lines(f"{name}.jsonl", [name])
    prepared = world.prepare()
    (world.path / "in" / "a.jsonl").unlink()
    world.lines("b.jsonl", ["longer"])
    outcome = world.go(prepared)
    assert (outcome.exit_code, set(outcome.status.left_out)) == (1, {"a.jsonl", "b.jsonl"})
    assert world.data() == {("c.jsonl", 0): "C"}
    world.lines("a.jsonl", ["back"])
    assert world.run().exit_code == 0
    assert world.data() == {
        ("a.jsonl", 0): "BACK",
        ("b.jsonl", 0): "LONGER",
        ("c.jsonl", 0): "C",
    }


def test_a_source_without_files_is_refused(world: World) -> None:
    with pytest.raises(UsageError, match="has no file to read"):
        world.run()


def test_all_rows_bad_is_exit_code_3_and_a_data_set_without_rows(world: World) -> None:
    world.file["errors"] = {"max_rejected": 0.5}
    world.lines("a.jsonl", ["bad", "bad"])
    assert world.run().exit_code == 3
    table = ds.dataset(world.path / "out" / "data").to_table()
    assert (table.num_rows, table.column_names) == (0, ["_source", "_row", "upper"])
    assert len(world.rejects()) == 2


def test_a_column_of_nulls_keeps_its_type(world: World) -> None:
    world.lines("a.jsonl", ["null"])
    world.file["keep"] = ["upper", "score"]
    world.run()
    schema = pq.read_schema(world.out.full(f"data/{world.parts()[0]}"))
    assert (schema.field("upper").type, schema.field("score").type) == (pa.string(), pa.float32())
    assert world.data() == {("a.jsonl", 0): (None, None)}


def test_a_stage_that_cannot_load_fails_the_run_with_its_own_words(world: World) -> None:
    world.lines("a.jsonl", ["x"])
    world.file["stages"][0]["options"] = {"suffix": "cannot load"}
    with pytest.raises(StageFailed, match="no weights here") as error:
        world.run()
    assert error.value.exit_code == 1
    assert "Traceback" not in str(error.value)
    assert world.parts() == []


def test_units_have_the_same_names_on_every_machine(world: World) -> None:
    texts, names = ["x", "y", "z"], []
    for out in ("out", "out2"):
        path = world.lines("a.jsonl", texts)
        os.utime(path, ns=(0, 1_000_000_000))
        world.file["sink"]["path"] = out
        world.run()
        names.append(world.parts())
    assert names[0] == names[1] == ["part-8c9fa586b698a86545f2-0000.parquet"]


def test_a_run_whose_lock_is_taken_over_fails_and_commits_nothing_more(world: World) -> None:
    world.lines("a.jsonl", ["x"])
    prepared = world.prepare()
    work = Work(prepared.files)
    prepared.store.prepare()
    with Lock(prepared.store, "theirs").held(), pytest.raises(LockLost):
        pools = sizes(prepared.plan, 4, 0, {})
        job = Job(prepared.plan, prepared.store, "ours")
        graph.run(job, work, pools, {}, None, lambda status: None)
    assert world.parts() == []


@ray.remote(num_cpus=0, max_concurrency=8)
class Remembering(Dispatcher):
    """A dispatcher that remembers what each unit's way took."""

    def committed(self, done) -> None:
        super().committed(done)
        self.__dict__.setdefault("all", []).append(done.took)

    def remembered(self):
        return self.all


def test_reading_is_no_part_of_the_models_actors_and_goes_on_while_they_work(world: World) -> None:
    world.lines("a.jsonl", [f"r{n}" for n in range(40)])
    world.file["stages"][0]["options"] = {"seconds": 0.2}
    prepared = world.prepare()
    plan = prepared.plan
    prepared.store.prepare()
    pools = sizes(plan, 1, 0, {})
    # A stage that is known as slow gets small units, more than may be under way before the first
    # is done: whatever a machine takes to start the model, some are read while it works.
    step = f"stage 1 ({ECHO})"
    dispatcher = Remembering.remote(
        plan.pipeline.source, plan.read, Work(prepared.files), {step: 1}, {step: 7.5}
    )
    with Lock(prepared.store, "run").held(), graph._settings():
        job = ray.put(Job(plan, prepared.store, "run"))
        dataset = graph._graph(job, plan, pools, dispatcher)
        list(dataset.iter_batches(batch_size=None))
    operators = dataset.stats()
    assert "MapBatches(Reader)" in operators
    assert "MapBatches(Reader)->" not in operators
    assert "->MapBatches(Reader)" not in operators
    took = ray.get(dispatcher.remembered.remote())
    stage = next(name for name in took[0] if name.startswith("stage"))
    assert any(
        one[stage].start < other["read"].start < one[stage].stop for one in took for other in took
    )


@pytest.mark.embedded
def test_the_python_of_the_readme_runs(ray_session, tmp_path: Path, monkeypatch, capsys) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    code = readme.split("```python\n")[1].split("```")[0]
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/a.txt").write_text("Maria Jansen works for Acme Corp in Rotterdam.")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines()[-1] == "1 0 0"
    found = ds.dataset(tmp_path / "out/letters/data").to_table().to_pylist()
    assert [(e["text"], e["label"]) for e in found[0]["entities"]] == [
        ("Maria Jansen", "PERSON"),
        ("Acme Corp", "ORG"),
    ]
