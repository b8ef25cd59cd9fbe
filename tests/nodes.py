"""A Ray cluster of several real nodes on this machine: each node is a process tree of its own.

A node is started as an operator would, by `ray start`, so that it can be killed like a machine.
"""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
from ray.util import get_node_ip_address

ROOT = Path(__file__).parent.parent

START_SECONDS = 90.0
"""A node is up after 5 s on an idle machine."""

STORE = 80 * 2**20
"""Object store of a node, bytes: about the least that Ray takes."""

PORTS = (
    "--min-worker-port=0",
    "--max-worker-port=0",
    "--dashboard-agent-listen-port=0",
    "--metrics-export-port=0",
)
"""Nodes of one machine must not share ports: 0 lets the kernel choose."""


class Node:
    """One node: the `ray start --block` that holds it, and all that it started."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *arguments]
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def family(self) -> list[psutil.Process]:
        """The node's processes, the holder first."""
        with contextlib.suppress(psutil.NoSuchProcess):
            holder = psutil.Process(self.process.pid)
            return [holder, *holder.children(recursive=True)]
        return []

    def kill(self) -> None:
        """Kill all of it at once, as a machine that loses its power."""
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()


class Nodes:
    """A cluster: a head, and nodes that come and go. Use it as a context."""

    def __init__(self, head: Mapping[str, Any], settings: Mapping[str, str] = {}) -> None:
        # Paths of sockets may have 107 characters, which rules pytest's folders out.
        self.folder = Path(tempfile.mkdtemp(prefix="gm-"))
        self.environment = {
            "RAY_TMPDIR": str(self.folder),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
            "RAY_worker_niceness": "0",
            "PYTHONPATH": str(ROOT),
            **settings,
        }
        port = free_port()
        self.address = f"{get_node_ip_address()}:{port}"
        self.nodes: list[Node] = []
        autoscaling = head.get("autoscaling")
        more = []
        if autoscaling:
            (self.folder / "cluster.yaml").write_text(json.dumps(autoscaling(self.address)))
            more = [f"--autoscaling-config={self.folder}/cluster.yaml"]
        self.head = self._start(
            "--head",
            f"--port={port}",
            "--include-dashboard=false",
            f"--ray-client-server-port={free_port()}",
            *more,
            cpus=head.get("cpus", 0),
            settings=head.get("settings", {}),
        )
        self._wait_for_port(port)
        self.wait_for(1)

    def __enter__(self) -> "Nodes":
        return self

    def __exit__(self, *_: object) -> None:
        for node in [*self.nodes, self.head]:
            node.kill()
        self._end_strays()
        shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, cpus: int, gpus: int = 0) -> Node:
        """One node more; it joins while we go on."""
        node = self._start(f"--address={self.address}", cpus=cpus, gpus=gpus)
        self.nodes.append(node)
        return node

    def _start(
        self, *arguments: str, cpus: int, gpus: int = 0, settings: Mapping[str, str] = {}
    ) -> Node:
        shape = [f"--num-cpus={cpus}", f"--num-gpus={gpus}"]
        store = f"--object-store-memory={STORE}"
        name = secrets.token_hex(3)
        # A folder of its own, as on a machine of its own: nodes that start at the same moment would
        # choose the same names for their sockets.
        folder = f"--temp-dir={self.folder}/{name}"
        log = self.folder / f"start-{name}.log"
        return Node(
            [*arguments, *shape, store, folder, *PORTS], {**self.environment, **settings}, log
        )

    def _wait_for_port(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            assert self.head.process.poll() is None, self.logs()
            time.sleep(0.1)
        raise AssertionError(f"the head did not come up\n{self.logs()}")

    def wait_for(self, count: int, seconds: float = START_SECONDS) -> list[dict[str, Any]]:
        """Wait until so many nodes are alive, the head among them; return what Ray says of them."""
        deadline = time.monotonic() + seconds
        while len(alive := [n for n in self.listed() if n["Alive"]]) != count:
            assert time.monotonic() < deadline, (count, alive, self.logs())
            time.sleep(0.5)
        return alive

    def listed(self) -> list[dict[str, Any]]:
        """All nodes that there were, dead ones too, asked without joining the cluster."""
        script = (
            "import json, sys; from ray._private.state import GlobalState\n"
            "from ray._raylet import GcsClientOptions\n"
            "state = GlobalState()\n"
            "state._initialize_global_state(GcsClientOptions.create(sys.argv[1], None,"
            " allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False))\n"
            "print(json.dumps(state.node_table(), default=str))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, self.address],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])

    def run(self, folder: Path, *options: str) -> "subprocess.Popen[bytes]":
        """`gristmill run pipeline.yaml --address ... --json` in a folder, as a driver of its own.

        What it prints goes to out.json and log.txt there.
        """
        with (folder / "out.json").open("wb") as out, (folder / "log.txt").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "jobs.cli", "run", "pipeline.yaml", "--json",
                 "--address", self.address, *options],
                cwd=folder,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def logs(self) -> str:
        """What the starts of the nodes printed."""
        return "\n".join(p.read_text()[-1500:] for p in sorted(self.folder.glob("start-*.log")))

    def _end_strays(self) -> None:
        """End what a killed node left behind: told by this cluster's own folder."""
        for process in _with(str(self.folder)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _with(folder: str) -> Iterator[psutil.Process]:
    """The processes that were started with RAY_TMPDIR at this folder, but not ourselves."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("RAY_TMPDIR") == folder and process.pid != os.getpid():
                yield process


def ended(run: "subprocess.Popen[bytes]") -> None:
    """See that a driver of ours is gone."""
    if run.poll() is None:
        run.kill()
        run.wait()


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
