"""`gristmill cluster check`: Ray's own schema, and what a careful operator would change."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.errors import UsageError
from jobs.cli import main
from jobs.clusters.check import check

ROOT = Path(__file__).parent.parent
FILES = [ROOT / "cluster.yaml", *sorted((ROOT / "docs" / "clusters").glob("*.yaml"))]


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The token file of a careful user."""
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".ray" / "auth_token"
    path.parent.mkdir()
    path.touch(mode=0o600)
    return path


@pytest.fixture
def changed(tmp_path: Path, token: Path) -> Any:
    """cluster.yaml with changes, at places written with slashes; ... takes the key out."""

    def write(changes: dict[str, Any]) -> Path:
        config = yaml.safe_load(FILES[0].read_text())
        for place, value in changes.items():
            *above, key = place.split("/")
            inside = config
            for name in above:
                inside = inside[name]
            if value is ...:
                del inside[key]
            else:
                inside[key] = value
        path = tmp_path / "c.yaml"
        path.write_text(yaml.safe_dump(config))
        return path

    return write


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_clusters_of_the_house_can_be_launched_and_are_careful(path: Path, token: Path) -> None:
    assert check(path)["warnings"] == []


HEAD = "available_node_types/head"
CPU = "available_node_types/cpu"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"upscaling_sped": 2},
            "c.yaml: unknown key 'upscaling_sped' (did you mean 'upscaling_speed'?).",
        ),
        ({"max_workers": "many"}, "c.yaml, max_workers: 'many' is not of type 'integer'"),
        ({f"{CPU}/resources": {"CPU": 0.5}}, "0.5 is not of type 'integer'"),
        ({"head_node_type": "hed"}, "`head_node_type` must be one of `available_node_types`"),
        ({"provider/type": "awss"}, "there is no type 'awss' (did you mean 'aws'?)"),
        ({"provider": ...}, "no cluster file: it does not say its provider"),
        ({f"{CPU}/min_workers": 9}, "cpu: min_workers is 9, more than max_workers, 8."),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_ray_would_refuse_is_refused_before_a_machine_is_paid_for(
    changed: Any, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as error:
        check(changed(changes))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (
            {"head_start_ray_commands": ["ray start --head --dashboard-host 0.0.0.0"]},
            "open_dashboard",
        ),
        ({"docker/run_options": []}, "no_token"),
        ({"file_mounts": {"~/.ray/auth_token": "nowhere/token"}}, "token_missing"),
        ({f"{HEAD}/resources": {"CPU": 4}}, "head_works"),
        ({"docker/image": "rayproject/ray:latest-gpu"}, "unpinned_image"),
        ({"docker/image": "registry:5000/grist/mill"}, "unpinned_image"),
        ({"docker/image": "rayproject/ray:2.9.0-py311"}, "other_ray"),
        ({f"{CPU}/resources": {}}, "resources_unsaid"),
        ({f"{CPU}/min_workers": 1}, "always_on"),
        ({"max_workers": 5}, "group_starves"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_careless_is_warned_of(changed: Any, changes: dict[str, Any], code: str) -> None:
    warnings = check(changed(changes))["warnings"]
    assert [warning["code"] for warning in warnings] == [code]
    assert warnings[0]["do"] and warnings[0]["where"]


def test_a_digest_and_a_tag_of_one_s_own_are_exact_enough(changed: Any) -> None:
    for image in ("registry:5000/mill@sha256:" + 64 * "a", "registry:5000/mill:7"):
        assert check(changed({"docker/image": image}))["warnings"] == []


def test_a_token_that_others_can_read_is_told_and_strict_fails(
    token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token.chmod(0o644)
    assert main(["cluster", "check", str(FILES[0]), "--strict", "--json"]) == 1
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert (warning["code"], warning["do"]) == ("token_readable", f"chmod 600 {token}")


@pytest.mark.parametrize("text", ["", "[1, 2", "- a", "just words", "provider: 3"])
def test_a_file_that_is_no_cluster_s_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"c\.yaml"):
        check(tmp_path / "c.yaml")


def test_a_file_that_is_not_there_is_told_with_the_nearest_one(changed: Any) -> None:
    path = changed({}).with_name("clster.yaml")
    changed({}).rename(path.with_name("cluster.yaml"))
    with pytest.raises(UsageError, match=r"no such file \(did you mean 'cluster.yaml'\?\)"):
        check(path)


def test_nothing_but_our_own_words_is_said_of_a_typo(
    changed: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = changed({"max_wrokers": 2, f"{CPU}/max_workers": ...})
    monkeypatch.setattr(logging.getLogger("ray"), "handlers", [caplog.handler])
    caplog.set_level(logging.INFO, "ray")
    with pytest.raises(UsageError, match="did you mean 'max_workers'"):
        check(path)
    assert caplog.records == []


@pytest.mark.parametrize("words", [("run", "/dev/zero"), ("cluster", "check", "/dev/zero")])
def test_a_file_without_an_end_is_no_file_of_ours(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words]) == 2
    assert "/dev/zero: larger than 1,000,000 bytes, so no " in capsys.readouterr().err
