"""`gristmill render`: a pipeline as manifests for KubeRay and Kubernetes.

A manifest carries the pipeline file itself (a ConfigMap), so what is applied is what was rendered.
Where a target has no policy that was asked for, that is said, not passed over.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import Any

from actors.errors import UsageError, nearest
from jobs.clusters import secrets
from jobs.manifests.wishes import Wishes
from jobs.schedules import cron
from pipelines.spec import Pipeline

TARGETS = ("rayjob", "cronjob", "raycronjob", "systemd")

FOLDER = "/pipeline"
"""Where the pipeline file lies in a container."""

LATE_SECONDS = {"latest": 24 * 3600, "none": 60, "all": 24 * 3600}
"""How late a missed time may still be started: the last one within a day; or only what the
scheduler's own delay explains. Kubernetes starts one of those that were missed."""

RETRIES = 2
"""Times that a failed run is tried again unless it is said: enough for a machine that vanished, few
enough for a fault that stays."""

KEPT_SECONDS = 3600
"""How long a cluster's remains stay to be looked at before it is deleted."""

NO_RETRY = [2, 3]
"""Exit codes that trying again does not heal: a wrong file, too many rejects."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """Files to apply, name -> text, and what the target cannot do of what was asked for."""

    files: dict[str, str]
    warnings: tuple[str, ...]


def render(pipeline: Pipeline, path: Path, target: str, wishes: Wishes) -> Rendered:
    """A pipeline for one target. Raises UsageError."""
    from jobs.manifests import systemd

    if target not in TARGETS:
        raise UsageError(
            f"--to {target}: there is no such target{nearest(target, TARGETS)}.\n"
            f"  targets: {', '.join(TARGETS)}"
        )
    wishes = _timed(wishes)
    _check(pipeline, target, wishes)
    if target == "systemd":
        return Rendered(systemd.files(pipeline.name, path, wishes), tuple(_lacks(target, wishes)))
    documents = {
        "rayjob": lambda: _ray_job(pipeline, path, wishes),
        "raycronjob": lambda: _ray_cron_job(pipeline, path, wishes),
        "cronjob": lambda: _cron_job(pipeline, path, wishes),
    }[target]()
    return Rendered(
        {f"{name_of(pipeline)}.yaml": _yaml([_file(pipeline, path, wishes), documents])},
        tuple(_lacks(target, wishes)),
    )


def name_of(pipeline: Pipeline) -> str:
    """The pipeline's name as Kubernetes allows it: at most 40 of a-z, 0-9 and -.

    52 are what a CronJob may have, and KubeRay adds to a RayJob's.
    """
    return re.sub(r"[^a-z0-9]+", "-", pipeline.name.lower()).strip("-")[:40].strip("-")


def _timed(wishes: Wishes) -> Wishes:
    """The wishes with their times as every target reads them: five fields, a zone that is there.

    Raises UsageError.
    """
    cron.zone(wishes.tz)
    return wishes if wishes.cron is None else replace(wishes, cron=cron.check(wishes.cron))


def _check(pipeline: Pipeline, target: str, wishes: Wishes) -> None:
    """Refuse what cannot run there. Raises UsageError."""
    if target != "rayjob" and wishes.cron is None:
        raise UsageError(f'--to {target} needs a schedule.\n  add:  --cron "0 2 * * *" --tz UTC')
    if target == "systemd":
        return
    if not wishes.image:
        raise UsageError(
            f"--to {target} needs an image in which gristmill is installed.\n"
            "  add:  --image REGISTRY/gristmill:VERSION    how to make one: docs/kubernetes.md"
        )
    tag = wishes.image.rpartition("/")[2].partition(":")[2]
    if "@sha256:" not in wishes.image and (not tag or tag.startswith(("latest", "nightly"))):
        raise UsageError(
            f"--image {wishes.image}: this is another image tomorrow.\n"
            "  give an exact version or a digest:  NAME:1.2.3  or  NAME@sha256:..."
        )
    if wishes.cron and target != "rayjob":
        _check_cron(wishes.cron)
    if wishes.claim is not None and not re.fullmatch(r"[^:/]+:/.+", wishes.claim):
        raise UsageError(
            f"--claim {wishes.claim}: it does not say where the volume is to be mounted.\n"
            f"  write:  --claim {wishes.claim.partition(':')[0] or 'CLAIM'}:/data"
        )
    secrets.check_none(
        pipeline.model_dump(mode="json"),
        f"--to {target}: in the pipeline file",
        "be in the manifest for all who read it.\n  take it out, and put it into a Secret of the "
        "cluster:\n    --secret NAME    its keys become environment variables",
    )
    given: Any = getattr(pipeline.source, "path", None)  # a database has none
    paths = [given or (), pipeline.sink.path]
    flat = [p for each in paths for p in ([each] if isinstance(each, str) else each)]
    mount = wishes.claim.partition(":")[2] if wishes.claim else ""
    lost = [p for p in flat if "://" not in p and not (mount and p.startswith(f"{mount}/"))]
    if lost:
        raise UsageError(
            f"{lost[0]!r} is a path of a machine; a pod's own files go with it.\n"
            "  write  s3://...  in the pipeline file, or mount a volume that has it:\n"
            "    --claim CLAIM:/data    and paths that begin with /data/"
        )


def _check_cron(expression: str) -> None:
    """Refuse what Kubernetes cannot read in five fields that cron can. Raises UsageError."""
    _, _, day, _, weekday = expression.upper().split()
    if "L" in day + weekday or "#" in weekday:
        raise UsageError(
            f"--cron '{expression}': Kubernetes has no L and no # in its schedules.\n"
            "  use  gristmill schedule,  or  --to systemd"
        )
    if "7" in re.split(r"[,-]", re.sub(r"/\d+", "", weekday)):
        raise UsageError(
            f"--cron '{expression}': Kubernetes has no weekday 7; Sunday is 0 there, or SUN."
        )


def _lacks(target: str, wishes: Wishes) -> Iterator[str]:
    """What the target cannot do of what was asked for."""
    if target == "rayjob" and wishes.cron:
        yield "a RayJob runs once, as soon as it is applied: --cron is not used"
    if wishes.cron is None:
        return
    if target == "raycronjob":
        yield "RayCronJob is alpha: the operator needs the feature gate RayCronJob"
        if wishes.overlap != "allow":
            yield (
                f"RayCronJob has no overlap policy ({wishes.overlap} was asked for): a second run "
                "starts, is refused by the output's lock, and fails"
            )
        yield f"RayCronJob has no policy for missed times ({wishes.catch_up} was asked for)"
    if target == "cronjob" and wishes.overlap == "buffer":
        yield "CronJob cannot buffer: a time that falls into a run is skipped (Forbid)"
    if target == "systemd" and wishes.overlap != "skip":
        yield f"systemd never starts a service twice: {wishes.overlap} becomes skip"
    if target in ("cronjob", "systemd") and wishes.catch_up == "all":
        yield (
            f"{target} starts one run for all missed times; as a run takes whatever is new, "
            "no file is missed"
        )
    if wishes.jitter and target != "systemd":
        yield f"{target} has no jitter ({wishes.jitter:g} s were asked for): choose another minute"
    if wishes.retries and target == "systemd":
        yield (
            "systemd counts starts by the timer as tries, so none are rendered: the next time goes "
            "on from what is committed"
        )


# what Kubernetes reads --------------------------------------------------------------------------


def _meta(pipeline: Pipeline, wishes: Wishes) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "gristmill", "app.kubernetes.io/instance": ""}
    labels["app.kubernetes.io/instance"] = name_of(pipeline)
    return {"name": name_of(pipeline), "namespace": wishes.namespace, "labels": labels}


def _file(pipeline: Pipeline, path: Path, wishes: Wishes) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _meta(pipeline, wishes),
        "data": {"pipeline.yaml": path.read_text("utf-8")},
    }


def _cron_job(pipeline: Pipeline, path: Path, wishes: Wishes) -> dict[str, Any]:
    """One pod at each time: a run on a Ray of its own."""
    run = {"command": ["gristmill", "run", f"{FOLDER}/pipeline.yaml"]}
    template = _pod(pipeline, wishes, "gristmill", run, wishes.gpus)
    template["spec"] |= {
        "restartPolicy": "Never",
        # A run that is told to stop commits what is under way; a unit is about half a minute.
        "terminationGracePeriodSeconds": 120,
    }
    job: dict[str, Any] = {
        "backoffLimit": RETRIES if wishes.retries is None else wishes.retries,
        "podFailurePolicy": {
            "rules": [
                {"action": "FailJob", "onExitCodes": {"operator": "In", "values": NO_RETRY}},
                # A node that was taken away is no fault of the run.
                {"action": "Ignore", "onPodConditions": [_DISRUPTED]},
            ]
        },
        "template": template,
    }
    if wishes.time_limit:
        job["activeDeadlineSeconds"] = ceil(wishes.time_limit)
    spec = {
        "schedule": wishes.cron,
        "timeZone": wishes.tz,
        "concurrencyPolicy": "Allow" if wishes.overlap == "allow" else "Forbid",
        "startingDeadlineSeconds": LATE_SECONDS[wishes.catch_up],
        "jobTemplate": {"spec": job},
    }
    return _document("batch/v1", "CronJob", pipeline, wishes, spec)


_DISRUPTED = {"type": "DisruptionTarget", "status": "True"}


def _ray_cron_job(pipeline: Pipeline, path: Path, wishes: Wishes) -> dict[str, Any]:
    spec = {"schedule": wishes.cron, "timeZone": wishes.tz, "jobTemplate": _job(pipeline, wishes)}
    return _document("ray.io/v1", "RayCronJob", pipeline, wishes, spec)


def _ray_job(pipeline: Pipeline, path: Path, wishes: Wishes) -> dict[str, Any]:
    return _document("ray.io/v1", "RayJob", pipeline, wishes, _job(pipeline, wishes))


def _job(pipeline: Pipeline, wishes: Wishes) -> dict[str, Any]:
    """A RayJob's spec: a cluster for this run alone, deleted after it."""
    job: dict[str, Any] = {
        "entrypoint": f"gristmill run {FOLDER}/pipeline.yaml --address auto",
        # The driver waits; the head has no CPUs to give.
        "entrypointNumCpus": 0,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": KEPT_SECONDS,
        "backoffLimit": RETRIES if wishes.retries is None else wishes.retries,
        "rayClusterSpec": {
            "rayVersion": version("ray"),
            "authOptions": {"mode": "token"},
            "headGroupSpec": {
                "rayStartParams": {"num-cpus": "0"},
                "template": _pod(pipeline, wishes, "ray-head", {}, 0),
            },
            "workerGroupSpecs": [_group(pipeline, wishes, "cpu", 0)],
        },
    }
    if wishes.gpus or any(stage.resources.gpus for stage in pipeline.stages):
        group = _group(pipeline, wishes, "gpu", max(wishes.gpus, 1))
        job["rayClusterSpec"]["workerGroupSpecs"].append(group)
    if wishes.time_limit:
        job["activeDeadlineSeconds"] = ceil(wishes.time_limit)
    return job


def _group(pipeline: Pipeline, wishes: Wishes, name: str, gpus: int) -> dict[str, Any]:
    # All of them from the start: the cluster is this run's alone and goes with it, KubeRay starts
    # the run when they are there, and pools are shared out over the machines that a run finds.
    many = wishes.workers
    return {
        "groupName": name,
        "replicas": many,
        "minReplicas": many,
        "maxReplicas": many,
        "rayStartParams": {},
        "template": _pod(pipeline, wishes, "ray-worker", {}, gpus),
    }


def _pod(
    pipeline: Pipeline, wishes: Wishes, name: str, run: Mapping[str, Any], gpus: int
) -> dict[str, Any]:
    """A pod of one container, with the pipeline file and what the wishes add."""
    limits: dict[str, Any] = {"cpu": wishes.cpus, "memory": wishes.memory}
    if gpus:
        limits["nvidia.com/gpu"] = gpus
    mounts = [{"name": "pipeline", "mountPath": FOLDER, "readOnly": True}]
    volumes: list[dict[str, Any]] = [{"name": "pipeline", "configMap": {"name": name_of(pipeline)}}]
    if wishes.claim:
        claim, _, place = wishes.claim.partition(":")
        mounts.append({"name": "data", "mountPath": place})
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": claim}})
    container = {
        "name": name,
        "image": wishes.image,
        **run,
        "resources": {"limits": limits, "requests": limits},
        "volumeMounts": mounts,
    }
    if wishes.secret:
        container["envFrom"] = [{"secretRef": {"name": wishes.secret}}]
    return {"spec": {"containers": [container], "volumes": volumes}}


def _document(
    api: str, kind: str, pipeline: Pipeline, wishes: Wishes, spec: Mapping[str, Any]
) -> dict[str, Any]:
    metadata = _meta(pipeline, wishes)
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": dict(spec)}


def _yaml(documents: list[dict[str, Any]]) -> str:
    import yaml

    class Plain(yaml.SafeDumper):
        """Writes what stands twice twice: anchors are for machines."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    Plain.add_representer(str, _text)
    return yaml.dump_all(documents, Dumper=Plain, sort_keys=False, allow_unicode=True)


def _text(dumper: Any, text: str) -> Any:
    """Text of several lines as it is read."""
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
