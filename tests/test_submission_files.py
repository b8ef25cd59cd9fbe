"""What is checked and sent before a cluster is asked, and what is said of a wrong cluster."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import ray

from actors.errors import ClusterFailed, ClusterSilent, UsageError
from jobs.clusters import bundle, driver, secrets
from jobs.clusters.server import Job, Server, address_of, check_version
from jobs.clusters.submission import Flags, last_attempt, order
from tests.head import free_ports

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write p.yaml, right but for the change; the command is given beside it."""
    monkeypatch.chdir(tmp_path)

    def write(**change: Any) -> Path:
        data = {
            "name": "try",
            "source": {"kind": "jsonl", "path": "s3://bucket/in/"},
            "stages": [{"task": "ner"}],
            "sink": {"kind": "parquet", "path": "s3://bucket/out"},
            **change,
        }
        path = tmp_path / "p.yaml"
        path.write_text(json.dumps(data))
        return path

    return write


def refused(file: Path, **flags: Any) -> str:
    """What `order` says no with."""
    with pytest.raises(UsageError) as error:
        order(file, Flags(**flags))
    return str(error.value)


def test_the_id_is_that_of_what_the_job_does(write: Write) -> None:
    file = write()
    first = order(file, Flags())
    file.write_text("# a comment\n" + file.read_text())
    assert order(file, Flags()).id == first.id
    assert first.id.startswith("try-")
    assert order(file, Flags(limit=3)).id != first.id
    assert order(file, Flags(settings=("sink.path=s3://bucket/other",))).id != first.id
    assert order(file, Flags(id="nightly")).id == "nightly"
    assert "letters, digits" in refused(file, id="a/b")


def test_the_command_on_the_cluster_has_the_flags_quoted(write: Write) -> None:
    text = order(write(), Flags(settings=("stages.0.options={labels: [A B]}",), limit=3)).entrypoint
    assert text == (
        "exec python3 -m jobs.clusters.driver run p.yaml --address auto "
        "--set 'stages.0.options={labels: [A B]}' --limit 3"
    )


@pytest.mark.parametrize("place", ["source", "sink"])
def test_a_relative_path_is_refused_with_what_to_type(write: Write, place: str) -> None:
    kind = "jsonl" if place == "source" else "parquet"
    said = refused(write(**{place: {"kind": kind, "path": "here/"}}))
    assert said.startswith(f"p.yaml: {place}.path is 'here/', relative to the file; on the cluster")
    assert f"--set {place}.path=s3://BUCKET/here" in said
    assert f"--set {place}.path={Path.cwd()}/here" in said


def test_an_option_that_is_wrong_is_found_without_a_source(write: Write) -> None:
    assert "stage 1 (ner)" in refused(write(stages=[{"task": "ner", "options": {"lables": []}}]))


def test_a_model_or_a_stage_outside_of_what_is_sent_is_refused(write: Write) -> None:
    file = write(stages=[{"task": "ner", "model": "../models/ner"}])
    assert "lies outside the folder that is sent" in refused(file)
    file = write(stages=[{"task": "tests.stages.echo:Echo"}])
    assert "outside the folder that is sent" in refused(file)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIA:wJalr@bucket/in",
        "s3://bucket/in?secret_key=wJalr",
        "https://host/in?X-Amz-Signature=wJalr",
    ],
)
def test_a_key_in_a_uri_is_refused_and_not_shown(write: Write, uri: str) -> None:
    said = refused(write(source={"kind": "jsonl", "path": ["s3://a/b", uri]}))
    assert said.startswith("p.yaml: source.path.1 holds a password or a key")
    assert "wJalr" not in said


def test_a_relative_database_is_refused(write: Write) -> None:
    catalog = {"type": "sql", "uri": "sqlite:///c.db"}
    sink = {"kind": "iceberg", "path": "s3://b/out", "table": "a.b", "catalog": catalog}
    said = refused(write(sink=sink))
    assert f"--set sink.catalog.uri=sqlite:///{Path.cwd()}/c.db" in said


def test_uris_without_secrets_are_no_secrets(write: Write) -> None:
    path = "s3://b/in?region=eu&endpoint_override=h:1"
    order(write(source={"kind": "jsonl", "path": path}), Flags())


def test_a_secret_is_a_reference_and_anything_else_is_refused_unquoted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = ["A=file:/run/a", "B=env:C"]
    assert secrets.references(given) == {"A": "file:/run/a", "B": "env:C"}
    for wrong in ("A=hush", "A", "A=file:relative", "A=env:", "hush hush=env:B"):
        with pytest.raises(UsageError) as error:
            secrets.references([wrong])
        assert "hush" not in str(error.value)
        assert "=file:/PATH/ON/EVERY/MACHINE" in str(error.value)
    (tmp_path / "a").write_text("one\n")
    wanted = {"GM_A": f"file:{tmp_path}/a", "GM_B": "env:GM_C"}
    monkeypatch.setenv(secrets.VARIABLE, json.dumps(wanted))
    monkeypatch.setenv("GM_A", "")
    monkeypatch.setenv("GM_B", "")
    with pytest.raises(UsageError, match="the environment variable GM_C is not set"):
        secrets.apply()
    monkeypatch.setenv("GM_C", "two")
    secrets.apply()
    assert (os.environ["GM_A"], os.environ["GM_B"]) == ("one", "two")


def test_what_is_sent_is_the_folder_and_our_code_without_what_is_none_of_it(tmp_path: Path) -> None:
    for name in (
        *("p.yaml", "own.py", "models/m/weights.bin", ".git/config", ".env", "__pycache__/x.pyc"),
        *("env/pyvenv.cfg", "env/lib/x.py", "out/_gristmill/lock.json", "out/data/part-0.parquet"),
        *("in/a.jsonl", "big/x.iso"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = bundle.bundle(tmp_path, [tmp_path / "in"], ["*.iso"])
    theirs = {name for name in found.files if not name.startswith(bundle.CODE)}
    assert theirs == {"p.yaml", "own.py", "models/m/weights.bin"}
    assert {"jobs/cli.py", "pipelines/run.py"} & set(found.files) == {"jobs/cli.py"}
    with found.laid_out() as folder:
        assert (folder / "actors/errors.py").read_text()
        assert list(folder.glob("gristmill-*.dist-info/METADATA"))
    assert not folder.exists()


def test_a_folder_that_is_too_large_is_refused_with_what_is_large(tmp_path: Path) -> None:
    with (tmp_path / "film.mov").open("wb") as file:
        file.truncate(bundle.MOST_BYTES + 1)
    with pytest.raises(UsageError) as error:
        bundle.bundle(tmp_path, [], [])
    assert "largest: film.mov (100.0 MiB)" in str(error.value)
    assert "--exclude 'film.mov'" in str(error.value)
    assert bundle.bundle(tmp_path, [], ["film.mov"])


def test_a_folder_that_would_hide_our_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/mine.py").write_text("")
    with pytest.raises(UsageError, match="has a folder 'jobs'"):
        bundle.bundle(tmp_path, [], [])


def job(id: str, state: str = "failed", code: int | None = 1) -> Job:
    return Job(id, state, 1.0, None, code, "", "", "", "")


def test_attempts_are_counted_and_ids_that_only_begin_alike_are_others() -> None:
    jobs = [job("a-1f"), job("a-1f-10"), job("a-1f-2"), job("a-1f-x"), job("a-1f0-30")]
    found, number = last_attempt(jobs, "a-1f")
    assert (found, number) == (jobs[1], 10)
    assert last_attempt(jobs, "b") == (None, 0)


@pytest.mark.parametrize(
    ("state", "code", "exit_code"),
    [
        ("running", None, None),
        ("succeeded", 0, 0),
        ("failed", 3, 3),
        ("failed", 130, 130),
        ("failed", -9, 1),
        ("failed", 127, 1),
        ("failed", None, 1),
        ("failed", 0, 1),
        ("stopped", None, 130),
    ],
)
def test_a_job_ends_with_the_exit_code_of_its_run(
    state: str, code: int | None, exit_code: int | None
) -> None:
    assert job("a", state, code).exit_code == exit_code


@pytest.mark.parametrize(
    ("given", "api", "ray", "address"),
    [
        (None, "", "", "http://127.0.0.1:8265"),
        ("host:1", "http://other:2", "", "http://host:1"),
        ("https://host/ray/", "", "", "https://host/ray"),
        (None, "http://other:2/", "http://third", "http://other:2"),
        (None, "", "auto", "http://127.0.0.1:8265"),
        (None, "", "10.0.0.5:6379", "http://10.0.0.5:8265"),
        (None, "", "ray://head:10001", "http://head:8265"),
    ],
)
def test_the_address_is_the_given_one_then_that_of_the_environment(
    given: str | None, api: str, ray: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", api)
    monkeypatch.setenv("RAY_ADDRESS", ray)
    assert address_of(given) == address


@pytest.mark.parametrize("wrong", ["ht!tp://x", "ftp://host:1"])
def test_what_is_no_address_is_refused(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", wrong)
    with pytest.raises(UsageError, match="is no address of a cluster"):
        address_of(None)


def test_another_minor_version_is_refused_and_both_are_named() -> None:
    check_version("http://h", "2.60.9", "2.60.0")
    with pytest.raises(ClusterFailed, match=r"runs Ray 2.48.0, and Ray 2.60.0 is installed here"):
        check_version("http://h", "2.48.0", "2.60.0")


NOT_YET = b"No available agent to submit job, please try again later."
TAKEN = {"job_id": "x", "submission_id": "x"}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, str], str]]:
    """A web server that always gives the same answer, and takes the second job that it is sent;
    returns its address."""
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")
    servers: list[HTTPServer] = []
    asked: list[str] = []

    def fake(code: int, text: str) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(code)
                self.end_headers()
                self.wfile.write(text.encode())

            def do_POST(self) -> None:
                asked.append(self.path)
                ready = len(asked) > 1
                self.send_response(200 if ready else 500)
                self.end_headers()
                self.wfile.write(json.dumps(TAKEN).encode() if ready else NOT_YET)

            def log_message(self, *_: Any) -> None:
                return

        server = HTTPServer(("127.0.0.1", 0), Answer)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield fake
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("code", "text", "said"),
    [
        (200, "<html>", "is no job server of Ray"),
        (404, "not found", "is no job server of Ray"),
        (200, "{}", "is no job server of Ray"),
        (401, "Missing authentication token", "asks for a token, and none is sent from here"),
        (403, "Forbidden: Invalid authentication token", "is not the cluster's"),
        (200, '{"ray_version": "2.48.0", "version": "4"}', "runs Ray 2.48.0"),
    ],
)
def test_a_server_that_is_the_wrong_one_is_told(
    fake: Callable[[int, str], str], code: int, text: str, said: str
) -> None:
    with pytest.raises(ClusterFailed, match=said):
        Server(fake(code, text))


def test_a_head_that_takes_no_jobs_yet_is_asked_again(fake: Callable[[int, str], str]) -> None:
    version = {"version": "4", "ray_version": ray.__version__, "ray_commit": "x"}
    server = Server(fake(200, json.dumps(version)))
    assert server.start("x", "true", {}, {})


def test_no_server_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")
    with pytest.raises(ClusterSilent, match="cannot be reached"):
        Server(f"http://127.0.0.1:{free_ports(1)[0]}")


def test_the_driver_finds_no_python_of_ray_where_there_is_no_ray() -> None:
    assert driver.ray_python(1) is None
