"""Pipelines as jobs on a real Ray head that asks for a token."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.lock import NAME as LOCK
from tests.head import ROOT, TOKEN, Done, Head, ended
from tests.world import World

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

TOLD = '''

class Told(Echo):
    """Works only where the secret was told."""

    def load(self, files, device):
        if os.environ.get("WORD") != "hush":
            raise OSError("no secret here")
        return super().load(files, device)


class Held(Echo):
    """Rows of "later" wait for a file, so that a run lasts for as long as a test wants it to."""

    gate: str = option("", "the file")

    def load(self, files, device):
        return _Held(self)


class _Held(_Echo):
    def infer(self, items):
        later = any(item.data.startswith("later") for item in items)
        while later and not Path(self.stage.gate).exists():
            time.sleep(0.05)
        return super().infer(items)
'''


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    head = Head()
    try:
        head.start()
        yield head
    finally:
        head.clear()


class Site(World):
    """A folder with a pipeline file, its source, and a stage of its own, on a head."""

    def __init__(self, path: Path, head: Head) -> None:
        super().__init__(path)
        self.head = head
        stage = (ROOT / "tests/stages/echo.py").read_text()
        (path / "own.py").write_text(stage + TOLD)
        self.lines("a.jsonl", [f"text {n}" for n in range(10)])

    def write(self, name: str, stage: dict[str, Any] | None = None, **change: Any) -> None:
        """Write p.yaml with absolute paths."""
        self.file |= {
            "name": name,
            "source": {"kind": "jsonl", "path": str(self.path / "in")},
            "stages": [{"task": "own:Echo", "pool": {"max": 1}, **(stage or {})}],
            "sink": {"kind": "parquet", "path": str(self.path / "out")},
            **change,
        }
        (self.path / "p.yaml").write_text(json.dumps(self.file))

    def cli(self, *words: str, **env: str) -> Done:
        return self.head.cli(self.path, *words, **env)

    def submit(self, *words: str) -> tuple[Done, dict[str, Any]]:
        done = self.cli("submit", "p.yaml", "--json", *words)
        assert done.out, done.err
        return done, json.loads(done.out)

    def wait_for(self, pattern: str) -> None:
        """Until the output has such a file."""
        deadline = time.monotonic() + 90
        while not list(self.path.glob(f"out/{pattern}")):
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture
def site(tmp_path: Path, head: Head) -> Site:
    return Site(tmp_path, head)


def test_a_job_runs_with_its_own_stage_and_a_secret_and_gives_rows_logs_and_exit_code(
    site: Site, head: Head
) -> None:
    (site.path / "word").write_text("hush\n")
    site.lines("b.jsonl", ["good", "bad"])
    site.write("told", {"task": "own:Told"}, errors={"max_rejected": 0.01})
    done, job = site.submit("--secret", f"WORD=file:{site.path / 'word'}")
    assert (done.code, job["new"]) == (0, True)
    logs = site.cli("logs", "-f", job["id"])
    assert (logs.code, "the output has 11 rows and" in logs.out) == (3, True)
    assert site.cli("wait", job["id"]).code == 3
    assert site.data() == {("a.jsonl", n): f"TEXT {n}" for n in range(10)} | {
        ("b.jsonl", 0): "GOOD"
    }
    stored = json.dumps(head.ask("/api/jobs/"))
    assert "hush" not in stored and TOKEN not in stored
    status = json.loads(site.cli("status", job["id"], "--json").out)
    assert status["in_output"] == {"rows": 11, "rejected": 1}
    assert job["id"] in site.cli("status").out


def test_a_job_submitted_twice_stopped_killed_and_submitted_again_is_one_and_ends_whole(
    site: Site, head: Head
) -> None:
    site.lines("b.jsonl", [f"later {n}" for n in range(30)])
    held = {"task": "own:Held", "options": {"gate": str(site.path / "gate")}}
    site.write("twice", held, errors={"row_timeout": 600})
    both = [head.begin(site.path, "submit", "p.yaml", "--json") for _ in range(2)]
    jobs = [json.loads(ended(each).out) for each in both]
    id = jobs[0]["id"]
    assert [job["id"] for job in jobs] == [id, id]
    assert sorted(job["new"] for job in jobs) == [False, True]
    site.wait_for("data/part-*.parquet")
    other = site.cli("submit", "p.yaml", "--limit", "5")
    assert (other.code, f"job {id} is running and writes to the same" in other.err) == (2, True)

    assert site.cli("stop", id).code == 0
    assert site.cli("wait", id).code == 130
    assert "interrupted: what is committed stays" in site.cli("logs", id).out
    assert not (site.path / "out" / LOCK).exists()

    second = site.submit()[1]["id"]
    assert second == f"{id}-2"
    site.wait_for(LOCK)
    head.driver(second).kill()
    waited = site.cli("wait", second)
    assert (waited.code, "killed by signal 9" in waited.err) == (1, True)
    assert len(site.data()) <= 10

    (site.path / "gate").touch()
    done, third = site.submit("--wait")
    assert (done.code, third["id"], third["state"]) == (0, f"{id}-3", "succeeded")
    assert len(site.data()) == 40


def test_what_is_refused_only_where_it_runs_is_exit_code_2_with_its_message(site: Site) -> None:
    site.write("refused")
    (site.path / "out").mkdir()
    (site.path / "out/letters.txt").write_text("mine")
    done, refused = site.submit("--wait")
    assert (done.code, refused["exit_code"]) == (2, 2)
    assert refused["message"].startswith("error: ")
    assert "holds files that gristmill did not write" in refused["message"]


def test_a_token_that_is_wrong_or_missing_and_a_job_that_is_not_there_are_told(site: Site) -> None:
    wrong = site.cli("status", RAY_AUTH_TOKEN="f" * 64)
    assert (wrong.code, "the token that is set here is not the cluster's" in wrong.err) == (1, True)
    none = site.cli("status", RAY_AUTH_TOKEN_PATH="/nowhere/token")
    assert (none.code, "file cannot be opened or is empty: /nowhere" in none.err) == (1, True)
    off = site.cli("status", RAY_AUTH_MODE="disabled")
    assert (off.code, "export RAY_AUTH_MODE=token" in off.err) == (1, True)
    for verb in ("status", "logs", "stop", "wait"):
        asked = site.cli(verb, "no-such-job")
        assert (asked.code, asked.err.split("\n")[0].startswith("error: there is no job")) == (
            2,
            True,
        )


PENDING = """
import sys
from ray.job_submission import JobSubmissionClient
JobSubmissionClient(sys.argv[1]).submit_job(
    entrypoint="true", submission_id="vast", entrypoint_num_cpus=999, metadata={"gristmill": "0"}
)
"""


def test_a_job_that_cannot_start_is_given_up_with_the_reason(site: Site, head: Head) -> None:
    subprocess.run([sys.executable, "-c", PENDING, head.address], env=head.env, check=True)
    waited = site.cli("wait", "vast", "--pending-timeout", "1")
    assert (waited.code, "may be waiting for resources" in waited.err) == (1, True)


IMPATIENT = """
import sys
from jobs import cli
from jobs.clusters import following
following.SILENT_SECONDS = 1
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_cluster_that_goes_away_is_told_with_what_to_do(site: Site, head: Head) -> None:
    """The last test of the file: it ends the head."""
    site.write("lost", {"options": {"seconds": 10}})
    job = site.submit()[1]["id"]
    follow = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, "logs", "-f", job],
        env=head.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    head.driver(job)
    head.end()
    done = ended(follow)
    assert (done.code, f"the cluster went away while job {job} was on it" in done.err) == (1, True)
    assert "it goes on from there" in done.err
    gone = site.cli("status")
    assert (gone.code, "cannot be reached" in gone.err) == (1, True)
