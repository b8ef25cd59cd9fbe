"""`gristmill doctor`: what it looks at, and what it says to do."""

import json
import sys
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.doctor import examine


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_everything_that_runs_depend_on_is_looked_at(tmp_path: Path) -> None:
    found = {finding.what: finding for finding in examine(tmp_path / "cache", {})}
    looked = {"Python", "ray", "torch", "memory", "models' cache", "open files", "cluster token"}
    assert looked <= found.keys()
    assert found["Python"].said.endswith(sys.executable)
    assert all(finding.do for finding in found.values() if finding.state == "bad")
    assert found["hub"].said == "switched off by HF_HUB_OFFLINE"


def test_a_hub_that_does_not_answer_is_a_note_and_names_the_other_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    hub = next(f for f in examine(tmp_path, {}) if f.what == "hub")
    assert hub.state == "note" and "models: embedded" in hub.do


def test_a_token_that_others_can_read_fails_the_look_where_clusters_ask_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o644)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    assert main(["doctor", "--json"]) == 0
    (note,) = [f for f in json.loads(capsys.readouterr().out) if f["what"] == "cluster token"]
    assert (note["state"], note["do"]) == ("note", f"chmod 600 {token}")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert main(["doctor", "--json"]) == 1
    (bad,) = [f for f in json.loads(capsys.readouterr().out) if f["state"] == "bad"]
    assert bad["do"] == f"chmod 600 {token}"
    token.chmod(0o600)
    assert main(["doctor"]) == 0
