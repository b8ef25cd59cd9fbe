"""`gristmill serve` on the command line: what it refuses before anything starts, and its config."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from actors.errors import UsageError
from jobs.cli import main
from jobs.serve import Place, check_place, why
from pipelines.serving.token import bears, check_token, digest_of
from tests.service import free_port

PIPELINE = """\
name: try
source: {kind: jsonl, path: none/, columns: {text: string}}
stages: [{task: "tests.stages.echo:Echo", pool: {min: 1, max: 3}}]
sink: {kind: parquet, path: out}
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a pipeline, which the command is given in."""
    (tmp_path / "p.yaml").write_text(PIPELINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRISTMILL_TOKEN", raising=False)
    return tmp_path


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens at."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["serve", "p.yaml", *words]) == 2
    return capsys.readouterr().err


def test_a_port_that_is_taken_is_named_with_who_has_it(
    capsys: pytest.CaptureFixture[str], taken: int
) -> None:
    said = refused(capsys, "--port", str(taken))
    assert f"port {taken}: Address already in use; python" in said
    assert "--port 8001" in said


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_others_are_let_in_only_with_a_token(
    capsys: pytest.CaptureFixture[str], host: str, place: Path
) -> None:
    said = refused(capsys, "--host", host)
    assert f"--host {host}: without a token only this machine may ask" in said
    (place / "token").write_text("short")
    assert "does not hold a token" in refused(capsys, "--token-file", "token")
    assert "cannot be read" in refused(capsys, "--token-file", "no-token")
    check_place(Place("0.0.0.0", free_port(), digest_of("0123456789abcdef")))


def test_a_token_of_the_environment_is_checked_and_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRISTMILL_TOKEN", "too short")
    said = refused(capsys)
    assert "$GRISTMILL_TOKEN does not hold a token" in said and "too short" not in said


def test_a_token_is_known_again_by_its_digest() -> None:
    token = check_token("0123456789abcdef", "here")
    assert bears(f"Bearer {token}".encode(), digest_of(token))
    assert not bears(f"Bearer {token}x".encode(), digest_of(token))
    assert not bears(b"", digest_of(token)) and not bears(b"Bearer", digest_of(token))


def test_no_address_and_no_file_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert "this is no address" in refused(capsys, "--host", "no such host")
    assert main(["serve", "q.yaml"]) == 2
    assert "did you mean 'p.yaml'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["serve", "p.yaml", "--port", "70000"])
    with pytest.raises(UsageError, match="without a token"):
        check_place(Place("0.0.0.0", free_port()))


def test_the_config_is_one_that_serve_deploys(
    capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    words = ["serve", "build", "p.yaml", "--max-rows", "7", "--set", "name=other"]
    assert main([*words, "-o", "serve.yaml"]) == 0
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.out == (place / "serve.yaml").read_text()
    config = ServeDeploySchema.model_validate(yaml.safe_load(said.out))
    assert (config.http_options.host, config.http_options.port) == ("127.0.0.1", 8000)
    (app,) = config.applications
    assert (app.name, app.route_prefix, app.import_path) == (
        "other", "/", "pipelines.serving:build",
    )  # fmt: skip
    assert app.args["file"] == str(place / "p.yaml") and app.args["max_rows"] == 7
    assert "token" not in said.out.split("proxy_location")[1]


def test_the_config_s_builder_makes_a_deployment_of_each_stage(place: Path) -> None:
    from pipelines.serving import build
    from pipelines.serving.deployments import ServiceArgs

    (place / "token").write_text("0123456789abcdef\n")
    app = build(ServiceArgs(file="p.yaml", cache=str(place), token_file="token"))
    ingress = app._bound_deployment
    *_, stage = ingress.init_args
    assert ingress.name == "ingress"
    assert b"0123456789abcdef" not in repr(ingress.init_args).encode()
    assert stage._bound_deployment._deployment_config.autoscaling_config.max_replicas == 3
    assert main(["serve", "build", "p.yaml", "-o", "no/serve.yaml"]) == 2


def test_a_stage_that_does_not_load_is_told_in_our_words() -> None:
    said = "Deploying app failed:\n  File x\nactors.errors.StageFailed: Echo could not load: gone\n"
    assert why("try", said) == "try cannot be served: Echo could not load: gone"
    assert why("try", "Serve is ill\n") == "try cannot be served: Serve is ill"


def test_the_help_of_serve_says_where_its_flags_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    assert "its flags: gristmill serve run --help" in " ".join(capsys.readouterr().out.split())
