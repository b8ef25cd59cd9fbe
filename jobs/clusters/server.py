"""The job server of a Ray cluster: every answer of it, also the bad ones, in our words."""

import logging
import os
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import ray
import requests
from ray.dashboard.modules import dashboard_sdk
from ray.dashboard.modules.job import sdk
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from actors.errors import ClusterFailed, ClusterSilent, UsageError, nearest
from pipelines.sources.listing import shown

PORT = 8265
"""Where Ray's dashboard, which has the job server, listens unless told otherwise."""

DEFAULT = f"http://127.0.0.1:{PORT}"

TIMEOUT_SECONDS = (10.0, 60.0)
"""To connect, and to wait for an answer: a busy head takes seconds; a dead one, for ever."""

MARK = "gristmill"
"""Key of the metadata that tells jobs of ours, with the version that submitted them."""

NO_AGENT = "No available agent to submit job"
AGENT_SECONDS = 60.0
"""What a head says that answers and takes no jobs yet, and how long to ask again: the part of it
that takes them comes up seconds after its port, and later still on a busy machine."""

NOISY = (sdk.__name__, dashboard_sdk.__name__, "ray._private.runtime_env.packaging")
"""Loggers of Ray that tell each upload and each connection that closes."""

INTERRUPTED = 130
PASSED = (0, 1, 2, 3, INTERRUPTED)
"""Exit codes that mean something; a driver that ends with another one has failed."""


@dataclass(frozen=True, slots=True)
class Job:
    """A submitted job. `state` is pending, running, succeeded, failed or stopped; times are
    seconds, epoch; `driver_code` is what the driver ended with, negative for a signal."""

    id: str
    state: str
    started: float | None
    ended: float | None
    driver_code: int | None
    message: str
    file: str
    output: str
    content: str

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in ("succeeded", "failed", "stopped")

    @property
    def exit_code(self) -> int | None:
        """What `gristmill run` would have ended with; None while it has not."""
        if not self.is_over:
            return None
        if self.state == "stopped":
            return INTERRUPTED
        if self.state == "succeeded":
            return 0
        return self.driver_code if self.driver_code in PASSED and self.driver_code else 1

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        shown = ("id", "state", "started", "ended", "message", "file", "output")
        return {name: getattr(self, name) for name in shown} | {"exit_code": self.exit_code}


class _Client(JobSubmissionClient):  # type: ignore[misc]
    """Ray's client with a limit on the time that a request may take."""

    def _do_request(self, method: str, endpoint: str, **more: Any) -> Any:
        return super()._do_request(method, endpoint, timeout=TIMEOUT_SECONDS, **more)

    def cluster_version(self) -> str:
        """The version of the cluster's Ray."""
        return str(self._do_request("GET", "/api/version").json()["ray_version"])


class Server:
    """A connected job server; `address` is where, without a user and a password.

    All methods raise ClusterFailed, and ClusterSilent when it does not answer; those that take an
    id raise UsageError when there is no such job.
    """

    def __init__(self, given: str | None) -> None:
        """Connect to the address that is given, or that the environment names."""
        address = address_of(given)
        self.address = shown(address)
        # Ray's client prefers these variables to the address that it is given.
        os.environ["RAY_API_SERVER_ADDRESS"] = address
        for name in NOISY:
            logging.getLogger(name).setLevel(logging.ERROR)
        with _asking(self.address):
            try:
                self._client = _Client(address)
                theirs = self._client.cluster_version()
            except (RuntimeError, ValueError, KeyError, TypeError) as error:
                raise ClusterFailed(_no_job_server(self.address, error)) from None
        check_version(self.address, theirs, ray.__version__)

    @property
    def is_here(self) -> bool:
        """Whether the address is this machine's own, so that its files may be the cluster's."""
        return urlsplit(self.address).hostname in ("127.0.0.1", "localhost", "::1")

    def jobs(self) -> list[Job]:
        """All jobs of ours, oldest first."""
        with self._asked():
            found = self._client.list_jobs()
        ours = [_job(d) for d in found if d.submission_id and MARK in (d.metadata or {})]
        return sorted(ours, key=lambda job: job.started or 0.0)

    def job(self, id: str) -> Job:
        """One job."""
        with self._known(id), self._asked():
            return _job(self._client.get_job_info(id))

    def start(
        self,
        id: str,
        entrypoint: str,
        runtime_env: Mapping[str, Any],
        metadata: Mapping[str, str],
    ) -> bool:
        """Start a job, or find that there is one of this id already: False."""
        job: dict[str, Any] = {"submission_id": id, "entrypoint": entrypoint}
        job |= {"runtime_env": dict(runtime_env), "metadata": dict(metadata)}
        deadline = time.monotonic() + AGENT_SECONDS
        with self._asked():
            while True:
                try:
                    self._client.submit_job(**job)
                    return True
                except RuntimeError as error:
                    # An HTTP 500 with a sentence or a traceback; no code tells these two apart.
                    if f"submission_id {id} already exists" in str(error):
                        return False
                    if NO_AGENT not in str(error) or time.monotonic() > deadline:
                        raise
                time.sleep(1)

    def stop(self, id: str) -> None:
        """Ask a job to end, as by SIGTERM; it may take a while."""
        with self._known(id), self._asked():
            self._client.stop_job(id)

    def logs(self, id: str) -> str:
        """What a job printed until now."""
        with self._known(id), self._asked():
            return str(self._client.get_job_logs(id))

    def tail(self, id: str) -> AsyncIterator[str]:
        """What a job prints, from its start until its end. Raises what Ray's client raises."""
        lines: AsyncIterator[str] = self._client.tail_job_logs(id)
        return lines

    @contextmanager
    def _asked(self) -> Iterator[None]:
        with _asking(self.address):
            yield

    @contextmanager
    def _known(self, id: str) -> Iterator[None]:
        """Turn the answer that there is no such job into the nearest ids that there are."""
        try:
            yield
        except ClusterSilent as error:
            if "status code 404" not in str(error):
                raise
            ids = [job.id for job in self.jobs()]
            there = ", ".join(ids[-10:]) or "none; a cluster that was started anew knows no old job"
            raise UsageError(
                f"there is no job {id!r} at {self.address}{nearest(id, ids)}.\n  jobs: {there}"
            ) from None


def address_of(given: str | None) -> str:
    """The job server's address: the given one, $RAY_API_SERVER_ADDRESS, $RAY_ADDRESS, or this
    machine's. Ray's own addresses (HOST:6379, ray://HOST:10001) stand for the host. Raises
    UsageError for what is none of these."""
    if given or os.environ.get("RAY_API_SERVER_ADDRESS"):
        address = given or os.environ["RAY_API_SERVER_ADDRESS"]
        if "://" not in address and address not in ("auto", "local"):
            return f"http://{address}".rstrip("/")
    else:
        address = os.environ.get("RAY_ADDRESS", "")
    if address in ("", "auto", "local"):
        return DEFAULT
    if re.match("https?://", address):
        return address.rstrip("/")
    host = urlsplit(address if "://" in address else f"ray://{address}").hostname
    if not host or not re.match("ray://|[^:]*:[0-9]+$|[^:/]+$", address):
        raise UsageError(
            f"{shown(address)!r} is no address of a cluster.\n"
            f"  write, for example:  --address {DEFAULT}"
        )
    return f"http://{host}:{PORT}"


def check_version(address: str, theirs: str, ours: str) -> None:
    """Refuse a cluster of another minor version. Raises ClusterFailed."""
    if theirs.split(".")[:2] != ours.split(".")[:2]:
        raise ClusterFailed(
            f"the cluster at {address} runs Ray {theirs}, and Ray {ours} is installed here.\n"
            f"  take the same on both sides:  pip install 'ray[serve,data]=={theirs}'\n"
            "  or start the cluster with the version that is here"
        )


def _job(details: Any) -> Job:
    """Our view of what the server says of a job."""
    said = details.metadata or {}
    return Job(
        id=details.submission_id or "",
        state=details.status.value.lower(),
        started=details.start_time / 1000 if details.start_time else None,
        ended=details.end_time / 1000 if details.end_time else None,
        driver_code=details.driver_exit_code,
        message=_last_lines(details.message or ""),
        file=said.get("file", ""),
        output=said.get("output", ""),
        content=said.get("content", ""),
    )


def _last_lines(message: str) -> str:
    """What matters of a message: of a failed driver's, from its error on, else its last lines."""
    _, _, log = message.partition("last available logs (truncated to 20,000 chars):\n")
    lines = (log or message).strip().splitlines()
    starts = [n for n, line in enumerate(lines) if line.startswith(("error: ", "interrupted: "))]
    return "\n".join(lines[starts[-1] :] if starts else lines[-5:])


@contextmanager
def _asking(address: str) -> Iterator[None]:
    """Turn what Ray's client raises into our errors."""
    try:
        yield
    except AuthenticationError as error:
        raise ClusterFailed(_refused(address, error)) from None
    except (requests.RequestException, ConnectionError) as error:
        raise ClusterSilent(_silent(address, error)) from None
    except RuntimeError as error:
        said = [line[:300] for line in str(error).splitlines() if line.strip(" .")] or [repr(error)]
        ends = dict.fromkeys((said[0], said[-1]))
        raise ClusterSilent(f"the job server at {address} failed: {' '.join(ends)}") from None


def _refused(address: str, error: Exception) -> str:
    """What to do about a token that is missing or wrong."""
    said = str(error)
    if "Invalid authentication token" in said:
        what = "the token that is set here is not the cluster's"
    elif "Missing authentication token" in said:
        what = "none is sent from here"
    else:
        what = said.split(". ")[0]
    return (
        f"the cluster at {address} asks for a token, and {what}.\n"
        "  export RAY_AUTH_MODE=token, and give the cluster's token in ~/.ray/auth_token (mode\n"
        "  600), in a file that RAY_AUTH_TOKEN_PATH names, or in RAY_AUTH_TOKEN"
    )


def _silent(address: str, error: Exception) -> str:
    """What to do when nothing answers."""
    slow = isinstance(error, requests.ReadTimeout)
    what = f"gave no answer in {TIMEOUT_SECONDS[1]:g} s" if slow else "cannot be reached"
    return (
        f"the job server at {address} {what}.\n"
        "  is the cluster up?  ray dashboard cluster.yaml  brings its port to this machine;\n"
        "  another address is given by --address http://HOST:8265 or RAY_API_SERVER_ADDRESS"
    )


def _no_job_server(address: str, error: Exception) -> str:
    return (
        f"what answers at {address} is no job server of Ray: {str(error)[:200]}\n"
        f"  the address is that of the cluster's dashboard, port {PORT} unless it was told "
        "otherwise;\n  Ray must be installed with it there:  pip install 'ray[default]'"
    )
