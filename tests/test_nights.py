"""Three nights on a real Ray: late, growing, changed, deleted and drifted files; exact rows."""

import json
import os
import time
from pathlib import Path

import pytest

from tests.world import World

pytestmark = pytest.mark.ray


def put(world: World, name: str, *texts: str | int, age: float = 3600.0) -> Path:
    """A file of the source, last changed `age` seconds ago."""
    path = world.path / "in" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    when = time.time_ns() - int(age * 1e9)
    os.utime(path, ns=(when, when))
    return path


def test_three_nights_of_late_growing_changed_deleted_and_drifted_files(world: World) -> None:
    world.file["source"] |= {"settle": 60, "partitions": "hive"}
    world.file |= {"on_change": "reprocess", "on_delete": "drop", "keep": ["upper", "day"]}
    put(world, "day=1/a.jsonl", "a", "bad")
    put(world, "day=1/b.jsonl", "b")
    put(world, "day=1/c.jsonl", "c")
    growing = put(world, "day=1/g.jsonl", "g", age=1)
    first = world.run()
    assert (first.exit_code, set(first.source.waiting)) == (0, {"day=1/g.jsonl"})
    assert world.data() == {
        ("day=1/a.jsonl", 0): ("A", 1),
        ("day=1/b.jsonl", 0): ("B", 1),
        ("day=1/c.jsonl", 0): ("C", 1),
    }

    put(world, "day=1/g.jsonl", "g", "g2")  # whole now
    put(world, "day=1/a.jsonl", "new", "bad", "newer", age=100)  # changed
    (world.path / "in" / "day=1" / "b.jsonl").unlink()  # deleted
    put(world, "day=0/late.jsonl", "late", age=10**6)  # late
    put(world, "day=two/x.jsonl", "x")  # its folder is no number
    second = world.run()
    assert second.source.counts() == {
        "waiting": 0, "deleted": 0, "dropped": 1, "changed": 1, "drifted": 1,
    }  # fmt: skip
    assert (second.exit_code, set(second.status.left_out)) == (1, {"day=two/x.jsonl"})
    expected = {
        ("day=0/late.jsonl", 0): ("LATE", 0),
        ("day=1/a.jsonl", 0): ("NEW", 1),
        ("day=1/a.jsonl", 2): ("NEWER", 1),
        ("day=1/c.jsonl", 0): ("C", 1),
        ("day=1/g.jsonl", 0): ("G", 1),
        ("day=1/g.jsonl", 1): ("G2", 1),
    }
    assert world.data() == expected

    (world.path / "in" / "day=two" / "x.jsonl").unlink()
    prepared = world.prepare()
    with growing.open("a") as file:  # written again between listing and reading
        file.write('{"text": "g3"}\n')
    put(world, "day=3/y.jsonl", "y", age=2)
    third = world.go(prepared)
    assert (third.exit_code, third.status) == (0, None)
    assert world.data() == expected
    os.utime(world.path / "in" / "day=3" / "y.jsonl", ns=(10**18, 10**18))
    os.utime(growing, ns=(10**18, 10**18))
    assert world.run().exit_code == 0
    expected |= {("day=1/g.jsonl", 2): ("G3", 1), ("day=3/y.jsonl", 0): ("Y", 3)}
    assert world.data() == expected
    assert world.rejects() == {("day=1/a.jsonl", 1): "stage_error"}
