"""A real Ray head that asks for a token, on ports of its own, and the command line beside it."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent
TOKEN = "0123456789abcdef" * 4
START_SECONDS = 60.0
PORTS = (
    "port",
    "dashboard-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
    "ray-client-server-port",
)


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


class Head:
    """`start` and `end` it; `cli` gives a command that knows its address and token."""

    def __init__(self) -> None:
        # Sockets of Ray lie below, and their paths may have 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="gmhead-", dir="/tmp"))
        self.token = self.folder / "token"
        self.token.write_text(TOKEN)
        self.token.chmod(0o600)
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.address = f"http://127.0.0.1:{self.ports['dashboard-port']}"
        self.env = os.environ | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token),
            "RAY_API_SERVER_ADDRESS": self.address,
            "RAY_worker_niceness": "0",
            "PYTHONPATH": str(ROOT),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        ray = [sys.executable, "-c", "from ray.scripts.scripts import main; main()"]
        flags = [f"--{name}={port}" for name, port in self.ports.items()]
        flags += ["--num-cpus=4", f"--object-store-memory={100 * 2**20}"]
        flags += ["--dashboard-host=127.0.0.1", f"--temp-dir={self.folder}/ray"]
        # What it must not have from us: our code reaches it with each job, or not at all.
        env = {name: value for name, value in self.env.items() if name != "PYTHONPATH"}
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*ray, "start", "--head", "--block", "--disable-usage-stats", *flags],
                env=env,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            self.ask("/api/jobs/")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def ask(self, path: str) -> Any:
        """What the job server answers."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        request = urllib.request.Request(self.address + path, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def end(self) -> None:
        """End all processes of it, by their ids."""
        if self._process is not None:
            parent = psutil.Process(self._process.pid)
            for process in [parent, *parent.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.wait()
            self._process = None

    def clear(self) -> None:
        """End it, and remove what it left."""
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def begin(self, folder: Path, *words: str, **env: str) -> subprocess.Popen[str]:
        """Start a command in a folder."""
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.cli", *words],
            cwd=folder,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def cli(self, folder: Path, *words: str, **env: str) -> Done:
        """Give a command in a folder."""
        return ended(self.begin(folder, *words, **env))

    def driver(self, job: str) -> psutil.Process:
        """The driver of a running job, when it is there."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for process in psutil.process_iter(["cmdline", "environ"]):
                words = process.info["cmdline"] or []
                config = (process.info["environ"] or {}).get("RAY_JOB_CONFIG_JSON_ENV_VAR", "")
                if "--here" in words and f'"{job}"' in config:
                    return process
            time.sleep(0.1)
        raise AssertionError(f"job {job} has no driver")


def ended(process: subprocess.Popen[str]) -> Done:
    """Wait for a command."""
    out, err = process.communicate(timeout=120)
    return Done(process.returncode, out, err)


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, outside the range from which Ray gives them to its workers."""
    sockets: list[socket.socket] = []
    found: list[int] = []
    while len(found) < count:
        sockets.append(socket.socket())
        sockets[-1].bind(("127.0.0.1", 0))
        port = sockets[-1].getsockname()[1]
        if not 10_000 <= port < 20_000:
            found.append(port)
    for each in sockets:
        each.close()
    return found
