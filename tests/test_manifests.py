"""`gristmill render`: manifests that the real schemas accept, and timers that fire as cron does."""

import json
import shutil
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema
import pytest
import yaml
from cronsim import CronSim

from actors.errors import UsageError
from jobs.cli import main, make_parser
from jobs.manifests.kubernetes import Rendered, name_of, render
from jobs.manifests.systemd import calendar
from jobs.manifests.wishes import Wishes
from pipelines.file import load

SCHEMAS = Path(__file__).parent / "schemas"

PIPELINE = {
    "name": "Nightly_Reviews",
    "source": {"kind": "parquet", "path": "s3://bucket/reviews/"},
    "stages": [{"task": "ner"}, {"task": "summarization", "resources": {"gpus": 1}}],
    "sink": {"path": "s3://bucket/out"},
}

NIGHTLY = Wishes(cron="0 2 * * *", tz="Asia/Seoul", image="registry/gristmill:1")


@pytest.fixture
def rendered(tmp_path: Path) -> Any:
    path = tmp_path / "reviews.yaml"

    def make(target: str, wishes: Wishes = NIGHTLY, **changes: Any) -> Rendered:
        path.write_text(yaml.safe_dump({**PIPELINE, **changes}))
        return render(load(path), path, target, wishes)

    return make


def documents(found: Rendered) -> list[dict[str, Any]]:
    (text,) = found.files.values()
    return list(yaml.safe_load_all(text))


FULL = Wishes(
    cron="0 2 * * *", image="registry/gristmill@sha256:" + 64 * "a", claim="corpus:/data",
    secret="store-keys", time_limit=7200, retries=5, gpus=2, overlap="allow", catch_up="none",
)  # fmt: skip


@pytest.mark.parametrize("target", ["rayjob", "cronjob", "raycronjob"])
@pytest.mark.parametrize("wishes", [NIGHTLY, FULL], ids=["plain", "full"])
def test_a_manifest_is_what_the_server_s_own_schema_asks_for(
    target: str, wishes: Wishes, rendered: Any
) -> None:
    file, job = documents(rendered(target, wishes))
    for document, name in ((file, "configmap"), (job, target)):
        schema = json.loads((SCHEMAS / f"{name}.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(document)
    assert yaml.safe_load(file["data"]["pipeline.yaml"]) == PIPELINE
    assert job["kind"].lower() == target


def test_the_schemas_refuse_what_a_server_would(rendered: Any) -> None:
    for target in ("rayjob", "cronjob", "raycronjob"):
        _, job = documents(rendered(target))
        validator = jsonschema.Draft202012Validator(
            json.loads((SCHEMAS / f"{target}.json").read_text())
        )
        spec = job["spec"]
        for wrong in ({**spec, "shedule": "x"}, {**spec, "suspend": "perhaps"}):
            assert list(validator.iter_errors({**job, "spec": wrong}))


def test_a_cluster_for_one_run_does_no_work_on_its_head_and_has_what_stages_ask(
    rendered: Any,
) -> None:
    cluster = documents(rendered("rayjob", Wishes(image="a/b:1")))[1]["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    assert cluster["authOptions"] == {"mode": "token"}
    groups = {g["groupName"]: g for g in cluster["workerGroupSpecs"]}
    assert {name: g["replicas"] for name, g in groups.items()} == {"cpu": 4, "gpu": 4}
    (container,) = groups["gpu"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_a_cron_job_keeps_the_policies_and_does_not_retry_a_wrong_file(rendered: Any) -> None:
    spec = documents(rendered("cronjob"))[1]["spec"]
    assert (spec["concurrencyPolicy"], spec["timeZone"]) == ("Forbid", "Asia/Seoul")
    assert spec["startingDeadlineSeconds"] == 24 * 3600
    rule = spec["jobTemplate"]["spec"]["podFailurePolicy"]["rules"][0]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [2, 3])


@pytest.mark.parametrize(
    ("target", "wishes", "said"),
    [
        ("raycronjob", {}, "RayCronJob is alpha"),
        ("raycronjob", {}, "no overlap policy (skip was asked for)"),
        ("raycronjob", {}, "no policy for missed times (latest was asked for)"),
        ("cronjob", {"overlap": "buffer"}, "CronJob cannot buffer"),
        ("cronjob", {"catch_up": "all"}, "starts one run for all missed times"),
        ("cronjob", {"jitter": 60}, "has no jitter (60 s were asked for)"),
        ("systemd", {"overlap": "allow"}, "allow becomes skip"),
        ("systemd", {"retries": 3}, "goes on from what is committed"),
        ("rayjob", {}, "a RayJob runs once"),
    ],
)
def test_what_a_target_cannot_do_is_said(
    target: str, wishes: dict[str, Any], said: str, rendered: Any
) -> None:
    asked = Wishes(cron="0 2 * * *", image="a/b:1", **wishes)
    assert any(said in warning for warning in rendered(target, asked).warnings)


def test_a_target_that_can_do_all_that_was_asked_for_warns_of_nothing(rendered: Any) -> None:
    assert rendered("cronjob").warnings == rendered("systemd").warnings == ()


@pytest.mark.parametrize(
    ("target", "wishes", "changes", "said"),
    [
        ("cronjb", {}, {}, "there is no such target (did you mean 'cronjob'?)"),
        ("cronjob", {"cron": None}, {}, "--to cronjob needs a schedule"),
        ("rayjob", {"image": ""}, {}, "needs an image"),
        ("rayjob", {"image": "a/b:latest"}, {}, "another image tomorrow"),
        ("rayjob", {"image": "host:5000/a/b"}, {}, "another image tomorrow"),
        ("cronjob", {"cron": "0 2 L * *"}, {}, "Kubernetes has no L"),
        ("rayjob", {}, {"sink": {"path": "out"}}, "'out' is a path of a machine"),
        ("rayjob", {"claim": "c:/data"}, {"sink": {"path": "/out"}}, "'/out' is a path of a"),
        ("rayjob", {"claim": "corpus"}, {}, "to be mounted.\n  write:  --claim corpus:/data"),
        ("cronjob", {"cron": "0 2 * * 1-7"}, {}, "Kubernetes has no weekday 7"),
        ("raycronjob", {"cron": "0 2 * * 5L"}, {}, "Kubernetes has no L"),
        *(
            (target, {"cron": "0 2 * *"}, {}, "a cron expression has five: minute, hour")
            for target in ("systemd", "cronjob", "raycronjob", "rayjob")
        ),
        ("cronjob", {"cron": "0 25 * * *"}, {}, "the hour is '25'"),
        ("cronjob", {"cron": "0 0 30 2 *"}, {}, "this never fires"),
        ("systemd", {"tz": "Asia/Seul"}, {}, "no such time zone (did you mean 'Asia/Seoul'?)"),
        ("cronjob", {"tz": "Asia/Seul"}, {}, "no such time zone (did you mean 'Asia/Seoul'?)"),
        ("rayjob", {}, {"sink": {"path": "s3://me:KEY@bucket/out"}}, "sink.path holds a password"),
        ("systemd", {"cron": "0 2 * * 5#2"}, {}, "no n-th weekday"),
    ],
)
def test_what_cannot_run_there_is_refused(
    target: str, wishes: dict[str, Any], changes: dict[str, Any], said: str, rendered: Any
) -> None:
    asked = Wishes(**{"cron": "0 2 * * *", "image": "a/b:1", **wishes})
    with pytest.raises(UsageError) as error:
        rendered(target, asked, **changes)
    assert said in str(error.value)


def test_times_are_durations_and_retries_a_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = make_parser().parse_args(
        ["render", "p.yaml", "--to=systemd", "--time-limit=4h", "--jitter=1m30s"]
    )
    assert (said.time_limit, said.jitter) == (4 * 3600, 90)
    with pytest.raises(SystemExit):
        main(["render", "p.yaml", "--to=systemd", "--retries", "x"])
    assert "--retries: should be a whole number, 0 or more (got 'x')" in capsys.readouterr().err


def test_words_and_months_are_written_as_every_target_reads_them(rendered: Any) -> None:
    for given, plain in (("@daily", "0 0 * * *"), ("0 6 * JUL,JAN SUN", "0 6 * JUL,JAN SUN")):
        asked = Wishes(cron=given, image="a/b:1")
        assert documents(rendered("cronjob", asked))[1]["spec"]["schedule"] == plain
    timer = rendered("systemd", Wishes(cron="@hourly")).files["gristmill-Nightly_Reviews.timer"]
    assert "OnCalendar=*-*-* *:00:00 UTC" in timer


def test_paths_below_a_claim_s_mount_are_there(rendered: Any) -> None:
    paths = {"source": {"kind": "text", "path": "/data/in"}, "sink": {"path": "/data/out"}}
    asked = Wishes(image="a/b:1", claim="corpus:/data")
    spec = documents(rendered("rayjob", asked, **paths))[1]["spec"]["rayClusterSpec"]
    pod = spec["headGroupSpec"]["template"]["spec"]
    assert {"name": "data", "mountPath": "/data"} in pod["containers"][0]["volumeMounts"]


def test_names_become_what_kubernetes_allows(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump({**PIPELINE, "name": "A_" + 60 * "b" + ".v1"}))
    assert name_of(load(path)) == "a-" + 38 * "b"


CRONS = [
    "0 2 * * *", "*/15 9-17 * * 1-5", "30 2 1 * *", "0 0 L * *", "5 4 1,15 * 1", "0 12 */2 * 1",
    "0 6 * JAN,JUL SUN", "59 23 31 12 *", "0 3 29 2 *",
]  # fmt: skip


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not on this machine")
@pytest.mark.parametrize("cron", CRONS)
def test_a_timer_fires_when_cron_does(cron: str) -> None:
    zone = ZoneInfo("UTC")
    start = datetime(2026, 1, 1, tzinfo=zone)
    expected = CronSim(cron, start)
    wanted = [next(expected) for _ in range(4)]
    found = set()
    for event in calendar(cron, "UTC"):
        said = subprocess.run(
            ["systemd-analyze", "calendar", "--base-time=2026-01-01 00:00:00 UTC", "-q",
             "--iterations=4", event],
            capture_output=True, text=True, check=True, env={"TZ": "UTC", "PATH": "/usr/bin:/bin"},
        ).stdout  # fmt: skip
        for line in said.splitlines():
            key, _, value = line.partition(": ")
            if key.strip().startswith(("Next elapse", "Iter. #")) and "UTC" in value:
                found.add(datetime.strptime(value.strip()[4:23], "%Y-%m-%d %H:%M:%S"))
    assert sorted(found)[:4] == [time.replace(tzinfo=None) for time in wanted]
    assert wanted[0] - start < timedelta(days=1200)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not on this machine")
def test_systemd_reads_the_words_of_the_command_as_they_are_meant(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s 100% "A\\B" $HOME'
    folder.mkdir()
    path = folder / "p.yaml"
    path.write_text(yaml.safe_dump(PIPELINE))
    found = render(load(path), path, "systemd", Wishes(cron="0 2 * * *"))
    for name, text in found.files.items():
        (tmp_path / name).write_text(text)
    service = found.files["gristmill-Nightly_Reviews.service"]
    assert f'run "{tmp_path}/it\'s 100%% \\"A\\\\B\\" $$HOME/p.yaml"\n' in service
    assert _complaints(tmp_path) == []


def _complaints(folder: Path) -> list[str]:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
         str(folder / "gristmill-Nightly_Reviews.timer"),
         str(folder / "gristmill-Nightly_Reviews.service")],
        capture_output=True,
        text=True,
        env={"SYSTEMD_UNIT_PATH": f"{folder}:", "PATH": "/usr/bin"},
    )  # fmt: skip
    return [line for line in done.stderr.splitlines() if "gristmill" in line]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not on this machine")
def test_systemd_accepts_the_units(rendered: Any, tmp_path: Path) -> None:
    found = rendered("systemd", Wishes(cron="0 2 * * 1", tz="Asia/Seoul", jitter=60, time_limit=60))
    for name, text in found.files.items():
        (tmp_path / name).write_text(text)
    assert _complaints(tmp_path) == []


def test_files_are_written_where_asked_and_warnings_go_to_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(PIPELINE))
    asked = ["render", str(path), "--to", "raycronjob", "--cron", "0 2 * * *", "--image", "a/b:1"]
    assert main([*asked, "-o", str(tmp_path / "k8s")]) == 0
    said = capsys.readouterr()
    assert (tmp_path / "k8s" / "nightly-reviews.yaml").is_file()
    assert said.out == "" and "warning: RayCronJob is alpha" in said.err


def test_a_place_that_cannot_be_written_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(PIPELINE))
    asked = ["render", str(path), "--to", "systemd", "--cron", "@daily"]
    for out in (str(path), "/proc/x"):
        assert main([*asked, "-o", out]) == 2
        assert f"-o {out}: cannot be written: " in capsys.readouterr().err
