"""`gristmill serve` as a process: real HTTP, real Ray Serve, ended as people end it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from tests.service import ECHO, free_port

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parent.parent
TOKEN = "0123456789abcdef"
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Running:
    """A service that answers at `port`."""

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, *texts: str) -> httpx2.Response:
        rows = [{"text": text} for text in texts]
        return httpx2.post(f"{self.url}/rows", json={"rows": rows}, headers=BEARER, timeout=30)

    def raw(self, head: str) -> str:
        """The first line that comes back for a request that is written by hand."""
        with socket.create_connection(("127.0.0.1", self.port), 20) as link:
            link.sendall(f"POST /rows HTTP/1.1\r\nHost: x\r\n{head}".encode())
            return link.recv(10_000).decode().splitlines()[0]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A service of texts that take 1 s each to echo."""
    file = {
        "name": "try",
        "source": {"kind": "jsonl", "path": "none/", "columns": {"text": "string"}},
        "stages": [{"task": ECHO, "options": {"seconds": 1}}],
        "sink": {"kind": "parquet", "path": "out"},
    }
    (tmp_path / "p.yaml").write_text(json.dumps(file))
    port = free_port()
    command = [sys.executable, "-m", "jobs.cli", "serve", str(tmp_path / "p.yaml"), "--json"]
    limits = ["--port", str(port), "--max-bytes", "100000", "--timeout", "5"]
    process = subprocess.Popen(
        [*command, *limits],
        cwd=ROOT,
        env=os.environ | {"GRISTMILL_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        up = json.loads(process.stdout.readline() or process.communicate()[1])
        assert up == {"url": f"http://127.0.0.1:{port}", "pid": process.pid}
        yield Running(process, port)
    finally:
        process.kill()
        process.communicate()


def test_a_service_answers_refuses_and_ends_in_order(running: Running) -> None:
    assert httpx2.get(f"{running.url}/ready", timeout=10).json() == {"status": "ready"}
    assert httpx2.get(f"{running.url}/pipeline").status_code == 401
    rows = running.ask("a", "bad").json()["rows"]
    assert [row["upper"] for row in rows] == ["A", None]
    bears = f"Authorization: Bearer {TOKEN}\r\n"
    assert " 413 " in running.raw(f"{bears}Content-Length: 100001\r\n\r\n")
    piece = f"{50_000:x}\r\n{' ' * 50_000}\r\n"
    assert " 413 " in running.raw(f"{bears}Transfer-Encoding: chunked\r\n\r\n{piece * 3}")
    assert " 400 " in running.raw(f"{bears}Content-Length: 1\r\n\r\n{{")
    assert " 408 " in running.raw(f"{bears}Content-Length: 9\r\n\r\n{{")  # and then nothing more
    assert running.ask("1|2|3|4|5|6|7").status_code == 504
    time.sleep(3)  # what nobody waits for any more is worked on to its end
    check_end(running)


def check_end(running: Running) -> None:
    """Who is inside is answered, nobody else let in, and no process is left."""
    family = family_of(running)
    inside: list[Any] = []
    thread = threading.Thread(target=lambda: inside.append(running.ask("x|y|z")))
    thread.start()
    time.sleep(1)
    running.process.send_signal(signal.SIGTERM)
    time.sleep(0.7)
    assert running.ask("late").status_code == 503
    thread.join()
    assert inside[0].json()["rows"][0]["upper"] == "X|Y|Z"
    assert running.process.wait(40) == 0
    assert left_of(family) == []


@pytest.mark.chaos  # a Ray of its own is fifteen seconds
def test_a_service_that_is_killed_leaves_no_process(running: Running) -> None:
    family = family_of(running)
    assert len(family) > 5
    running.process.kill()
    assert left_of(family) == []


Family = dict[psutil.Process, str]


def family_of(running: Running) -> Family:
    """The service's processes and what they are called."""
    found = psutil.Process(running.process.pid).children(recursive=True)
    return {process: " ".join(process.cmdline()) for process in found}


def left_of(family: Family) -> list[str]:
    """What of these processes is there after 20 s, but for Ray's own two agents, which look for
    their master once a minute when it was killed."""
    ours = [process for process, name in family.items() if not name.startswith(AGENTS)]
    _, left = psutil.wait_procs(ours, timeout=20)
    return [family[process] for process in left]
