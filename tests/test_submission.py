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

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]

TOLD = '''

class Told(Echo):
    """Works only where the secret was told."""

    def load(self, files, device):
        if os.environ.get("WORD") != "hush":
            raise OSError("no secret here")
        return super().load(files, device)
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

    def wait_for_rows(self) -> None:
        """Until the first part is committed."""
        deadline = time.monotonic() + 60
        while not list(self.path.glob("out/data/part-*.parquet")):
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture
def site(tmp_path: Path, head: Head) -> Site:
    return Site(tmp_path, head)


def test_a_submitted_pipeline_runs_with_its_own_stage_and_a_secret_that_nobody_sees(
    site: Site, head: Head
) -> None:
    (site.path / "word").write_text("hush\n")
    site.write("told", {"task": "own:Told"})
    done, job = site.submit("--wait", "--secret", f"WORD=file:{site.path / 'word'}")
    assert (done.code, job["state"], job["exit_code"], job["new"]) == (0, "succeeded", 0, True)
    assert site.data() == {("a.jsonl", n): f"TEXT {n}" for n in range(10)}
    assert "hush" not in json.dumps(head.ask("/api/jobs/"))
    assert TOKEN not in json.dumps(head.ask("/api/jobs/"))
    status = json.loads(site.cli("status", job["id"], "--json").out)
    assert status["in_output"] == {"rows": 10, "rejected": 0}
    assert job["id"] in site.cli("status").out


def test_submitted_twice_at_once_it_is_one_job_and_killed_and_submitted_again_it_is_whole(
    site: Site, head: Head
) -> None:
    for name in "bcdefg":
        site.lines(f"{name}.jsonl", [f"text {n}" for n in range(20)])
    site.write("twice", {"options": {"seconds": 0.05}})
    both = [head.begin(site.path, "submit", "p.yaml", "--json") for _ in range(2)]
    jobs = [json.loads(ended(each).out) for each in both]
    assert jobs[0]["id"] == jobs[1]["id"]
    assert sorted(job["new"] for job in jobs) == [False, True]
    id = jobs[0]["id"]
    site.wait_for_rows()
    head.driver(id).kill()
    waited = site.cli("wait", id)
    assert (waited.code, "killed by signal 9" in waited.err) == (1, True)
    done, again = site.submit("--wait")
    assert (done.code, again["id"]) == (0, f"{id}-2")
    assert len(site.data()) == 130


def test_a_stopped_job_commits_gives_its_lock_back_and_counts_as_interrupted(site: Site) -> None:
    site.lines("b.jsonl", [f"text {n}" for n in range(400)])
    site.write("stopped", {"options": {"seconds": 0.1}})
    job = site.submit()[1]["id"]
    site.wait_for_rows()
    other = site.cli("submit", "p.yaml", "--limit", "5")
    assert (other.code, f"job {job} is running and writes to the same" in other.err) == (2, True)
    assert site.cli("stop", job).code == 0
    assert site.cli("wait", job).code == 130
    assert "interrupted: what is committed stays" in site.cli("logs", job).out
    assert not (site.path / "out" / LOCK).exists()
    assert 0 < len(site.data()) < 410


def test_logs_are_followed_to_the_end_and_give_the_exit_code_of_the_run(site: Site) -> None:
    site.lines("a.jsonl", ["good", "bad"])
    site.write("rejected", errors={"max_rejected": 0.1})
    job = site.submit()[1]["id"]
    logs = site.cli("logs", "-f", job)
    assert (logs.code, "1 rejected" in logs.out.replace("rejected  ", "")) == (3, True), logs.out
    assert site.cli("wait", job).code == 3
    # What is refused only where it runs: a sink that is somebody else's folder.
    site.write("refused", sink={"kind": "parquet", "path": str(site.path / "theirs")})
    (site.path / "theirs").mkdir()
    (site.path / "theirs/letters.txt").write_text("mine")
    done, refused = site.submit("--wait")
    assert (done.code, refused["exit_code"]) == (2, 2)
    assert refused["message"].startswith("error: ")
    assert "holds files that gristmill did not write" in refused["message"]


def test_a_token_that_is_wrong_or_missing_and_a_job_that_is_not_there_are_told(site: Site) -> None:
    wrong = site.cli("status", RAY_AUTH_TOKEN="f" * 64)
    assert (wrong.code, "the token that is set here is not the cluster's" in wrong.err) == (1, True)
    none = site.cli("status", RAY_AUTH_TOKEN_PATH="/nowhere/token")
    assert (none.code, "no token was found here" in none.err) == (1, True)
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
from jobs import cli, following
following.SILENT_SECONDS = 1
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_cluster_that_goes_away_is_told_with_what_to_do(site: Site, head: Head) -> None:
    """The last test of the file: it ends the head."""
    site.lines("b.jsonl", [f"text {n}" for n in range(400)])
    site.write("lost", {"options": {"seconds": 0.1}})
    job = site.submit()[1]["id"]
    follow = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, "logs", "-f", job],
        env=head.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    site.wait_for_rows()
    head.end()
    done = ended(follow)
    assert (done.code, f"the cluster went away while job {job} was on it" in done.err) == (1, True)
    assert "it goes on from there" in done.err
    gone = site.cli("status")
    assert (gone.code, "cannot be reached" in gone.err) == (1, True)
    assert len(site.data()) > 0
