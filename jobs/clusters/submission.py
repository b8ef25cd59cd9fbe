"""`gristmill submit`: a pipeline as a job on a cluster, once however often it is submitted.

A job's id is made of what it does, so submitting it again while it runs is the same job. When it
has ended, submitting it again is its next attempt, which goes on from what is committed.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from actors.errors import GristmillError, RunFailed, UsageError
from jobs.clusters import secrets
from jobs.clusters.bundle import Bundle, bundle, check_own_stages
from jobs.clusters.reach import check_reach, local_paths
from jobs.clusters.server import MARK, Job, Server
from jobs.prepare import prepare
from pipelines.file import load
from pipelines.ledger import read_ledger
from pipelines.plan import check_options
from pipelines.spec import NAME, Pipeline
from pipelines.store import OURS, Store

STOP_SECONDS = 60
"""Time in which a stopped driver ends by itself before Ray kills it; Ray's own default of 3 s is
shorter than a commit to a slow disk may take."""

TRIES = 5
"""Attempts at an id that is free: each that fails was taken by somebody else at that moment."""


@dataclass(frozen=True, slots=True)
class Flags:
    """What `submit` can be asked beside the pipeline file."""

    settings: Sequence[str] = ()
    limit: int | None = None
    retry_rejects: bool = False
    id: str | None = None
    root: Path | None = None
    excludes: Sequence[str] = ()
    secrets: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """A job that can be submitted. `content` is a hash of what it does; `seen` are the local paths
    that all machines of the cluster must see."""

    id: str
    entrypoint: str
    bundle: Bundle
    metadata: Mapping[str, str]
    references: Mapping[str, str]
    seen: tuple[str, ...]


def order(file: Path, flags: Flags) -> Order:
    """Check what can be checked without the cluster and the source. Raises UsageError."""
    pipeline = load(file, flags.settings)
    base = file.resolve().parent
    root = flags.root.resolve() if flags.root else base
    if not base.is_relative_to(root):
        raise UsageError(f"--root {flags.root}: {file} does not lie in it or below it.")
    if flags.id and not re.fullmatch(NAME, flags.id):
        raise UsageError(f"--id {flags.id}: an id has letters, digits and . _ - only.")
    check_options(pipeline, file.name, base)
    data = pipeline.model_dump(mode="json")
    secrets.check_none(data, file.name)
    seen = check_reach(pipeline, file.name, root, base)
    check_own_stages(pipeline, root)
    inside = [path for path in local_paths(pipeline) if path.is_relative_to(root)]
    excludes = [*flags.excludes, *(str(path.relative_to(root)) for path in inside)]
    words = _words(file.resolve().relative_to(root), flags)
    content = _hash([data, words[2:]])
    return Order(
        id=flags.id or f"{pipeline.name}-{content[:10]}",
        entrypoint="exec python3 -m jobs.clusters.driver " + shlex.join(words),
        bundle=bundle(root, inside, excludes),
        metadata=_metadata(pipeline, file, content),
        references=secrets.references(flags.secrets),
        seen=tuple(seen),
    )


def check_here(file: Path, flags: Flags, cache: Path) -> None:
    """The checks of `plan`, where the source is on this machine. Raises UsageError."""
    pipeline = load(file, flags.settings)
    places = local_paths(pipeline)[:-1]
    if places and all(path.exists() for path in places):
        prepare(pipeline, file.name, file.resolve().parent, cache)


def submit(server: Server, wanted: Order) -> tuple[Job, bool]:
    """Start the job, or find it running; returns it, and whether it was started now.

    Two that submit the same at once get the same job: the cluster takes an id only once. Raises
    UsageError when another job writes to the same output, ClusterFailed and its kinds.
    """
    for _ in range(TRIES):
        jobs = server.jobs()
        last, attempt = last_attempt(jobs, wanted.id)
        if last is not None and not last.is_over:
            return _same(last, wanted), False
        _check_output_free(jobs, wanted)
        id = f"{wanted.id}-{attempt + 1}" if attempt else wanted.id
        with wanted.bundle.laid_out() as folder:
            if server.start(id, wanted.entrypoint, _environment(folder, wanted), wanted.metadata):
                return server.job(id), True
    raise RunFailed(
        f"the id {wanted.id} was taken {TRIES} times by others at the same moment; "
        "look with  gristmill status"
    )


def last_attempt(jobs: Sequence[Job], id: str) -> tuple[Job | None, int]:
    """The latest attempt at a job, and its number, from 1; 0 if there was none."""
    numbers = {}
    for job in jobs:
        found = re.fullmatch(re.escape(id) + r"(?:-(\d{1,6}))?", job.id)
        if found:
            numbers[int(found[1] or 1)] = job
    last = max(numbers, default=0)
    return numbers.get(last), last


def rows_in(output: str) -> dict[str, int] | None:
    """Rows and rejects of an output; None if it cannot be reached from here, or is not there."""
    try:
        store = Store.at(output, Path("/"))
        if OURS not in store.top():
            return None
        ledger = read_ledger(store)
    except GristmillError:
        return None
    return {"rows": ledger.rows, "rejected": ledger.rejected}


def _words(file: Path, flags: Flags) -> list[str]:
    """The command as it is given on the cluster, in the folder that is sent."""
    words = ["run", str(file), "--address", "auto"]
    for setting in flags.settings:
        words += ["--set", setting]
    if flags.limit:
        words += ["--limit", str(flags.limit)]
    return [*words, "--retry-rejects"] if flags.retry_rejects else words


def _metadata(pipeline: Pipeline, file: Path, content: str) -> dict[str, str]:
    """What the cluster remembers of the job; no secrets, which were looked for."""
    return {
        MARK: version("gristmill"),
        "pipeline": pipeline.name,
        "file": file.name,
        "output": pipeline.sink.path,
        "content": content,
    }


def _environment(folder: Path, wanted: Order) -> dict[str, Any]:
    """Ray's runtime environment. Its variables are shown to everybody: no secrets here."""
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}
    environment: dict[str, Any] = {"working_dir": str(folder), "env_vars": variables}
    if wanted.references:
        variables[secrets.VARIABLE] = json.dumps(dict(wanted.references))
        environment["worker_process_setup_hook"] = secrets.HOOK
    return environment


def _same(job: Job, wanted: Order) -> Job:
    """The job that runs under the id, if it does the same. Raises UsageError."""
    if job.content != wanted.metadata["content"]:
        raise UsageError(
            f"job {job.id} is {job.state} and does something else ({job.file} into {job.output}).\n"
            f"  wait for it:  gristmill wait {job.id}\n  or give another  --id"
        )
    return job


def _check_output_free(jobs: Sequence[Job], wanted: Order) -> None:
    """Refuse a second job on one output; the run's own lock would refuse it later."""
    output = wanted.metadata["output"]
    for job in jobs:
        if job.output == output and not job.is_over:
            raise UsageError(
                f"job {job.id} is {job.state} and writes to the same output, {output}.\n"
                f"  wait for it:  gristmill wait {job.id}\n  or end it:    gristmill stop {job.id}"
            )


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
