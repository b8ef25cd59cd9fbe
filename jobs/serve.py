"""`gristmill serve`: a pipeline behind HTTP until it is told to end; or its Serve config."""

import contextlib
import logging
import re
import shlex
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psutil
import yaml

from actors.errors import RunFailed, UsageError
from jobs.clusters.session import connected
from pipelines.machines import Machines
from pipelines.plan import Plan
from pipelines.pools import READ_CPUS, sizes
from pipelines.serving.bounds import Bounds

END_SECONDS = 10.0
"""Beyond the time that a request may take: how long the service may take to end."""

IMPORT = "pipelines.serving:build"
"""What a Serve config names."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service listens; `token` is the digest of what a request must bear, if anything."""

    host: str
    port: int
    token: bytes | None = None

    @property
    def url(self) -> str:
        """Where to ask."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def check_place(place: Place) -> None:
    """Refuse to listen where the service would be open to others, or a port that is taken.

    Raises UsageError.
    """
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise UsageError(
            f"--host {place.host}: this is no address of this machine\n  such as:  --host 127.0.0.1"
        ) from None
    reached = [str(address[0]).partition("%")[0] for *_, address in found]
    if place.token is None and not all(ip_address(address).is_loopback for address in reached):
        raise UsageError(
            f"--host {place.host}: without a token only this machine may ask (127.0.0.1).\n"
            "  openssl rand -hex 32 > token && chmod 600 token, and add:  --token-file token"
        )
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(address)
        except OSError as error:
            raise UsageError(_taken(place, error)) from None


def _taken(place: Place, error: OSError) -> str:
    """Why a place cannot be listened at: who does already, as far as that can be told."""
    who = ""
    with contextlib.suppress(psutil.Error):
        for found in psutil.net_connections("tcp"):
            if found.laddr and found.laddr.port == place.port and found.status == "LISTEN":
                name = psutil.Process(found.pid).name() if found.pid else "another user's process"
                who = f"; {name} ({found.pid}) listens there" if found.pid else f"; {name} does"
    return (
        f"cannot listen at {place.host}, port {place.port}: {error.strerror}{who}.\n"
        "  take another port:  --port 8001"
    )


def serve(
    plan: Plan,
    place: Place,
    bounds: Bounds,
    address: str | None,
    up: Callable[[str], None],
    told: Callable[[str], None],
) -> None:
    """Answer until interrupted; then let who is inside finish. `up` hears where it answers.

    Raises UsageError, RunFailed, KeyboardInterrupt (when it is interrupted again).
    """
    check_place(place)
    with (
        connected(address) as machines,
        _started(plan, place, bounds, address, machines) as ingress,
    ):
        up(place.url)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            told("ending: who is inside is answered, nobody else let in; again ends it at once")
        _drain(ingress, bounds)


@contextlib.contextmanager
def _started(
    plan: Plan, place: Place, bounds: Bounds, address: str | None, machines: Machines
) -> Iterator[Any]:
    """Its ingress, once all models are loaded. Deleted afterwards, and Serve too if it is ours,
    where both outlive this process: Serve on a Ray of our own ends with that."""
    from ray import serve as ray_serve

    from pipelines.serving.deployments import application

    pools = sizes(plan, machines.cpus - READ_CPUS, machines.gpus, {})
    app = application(plan, bounds, place.token, {label: s.cpus for label, s in pools.items()})
    logging.getLogger("ray.serve").setLevel(logging.CRITICAL)
    was_there = _check_serve(place)
    name = plan.pipeline.name
    try:
        yield _run(app, name, place)
    finally:
        if address is not None:
            with contextlib.suppress(RuntimeError):
                ray_serve.delete(name) if was_there else ray_serve.shutdown()


def _run(app: Any, name: str, place: Place) -> Any:
    """Start Serve and the application; returns its ingress. Raises RunFailed."""
    from ray import serve as ray_serve

    quiet = {"log_level": "ERROR", "enable_access_log": False}
    try:
        ray_serve.start(
            proxy_location="HeadOnly",
            http_options={"host": place.host, "port": place.port},
            logging_config=quiet,
        )
        return ray_serve.run(app, name=name, route_prefix="/", logging_config=quiet)
    except RuntimeError as error:
        raise RunFailed(why(name, f"{error}\n{_reported(name)}")) from None


def _reported(name: str) -> str:
    """What Serve knows of an application that did not start."""
    from ray import serve as ray_serve
    from ray.serve.exceptions import RayServeException

    try:
        found = ray_serve.status().applications.get(name)
    except RayServeException:
        return ""
    return "\n".join(d.message for d in found.deployments.values()) if found else ""


def _check_serve(place: Place) -> bool:
    """Whether Serve runs on the cluster already. Raises UsageError if it listens elsewhere, or
    answers for another application at the root."""
    from ray import serve as ray_serve
    from ray.serve.exceptions import RayServeException

    try:
        client = ray_serve.context._get_global_client()
    except RayServeException:
        return False
    options = client.http_config
    if (options.host, options.port) != (place.host, place.port):
        raise UsageError(
            f"Serve runs on this cluster already, and listens at {options.host}, port "
            f"{options.port}.\n  ask for the same:  --host {options.host} --port {options.port}"
        )
    others = [n for n, app in ray_serve.status().applications.items()]
    if others:
        raise UsageError(
            f"Serve on this cluster has an application already: {', '.join(others)}.\n"
            "  deploy both by one config:  gristmill serve build FILE -o serve.yaml"
        )
    return True


def _drain(ingress: Any, bounds: Bounds) -> None:
    import ray

    limit = bounds.timeout + END_SECONDS
    try:
        drained = ingress.drain.remote().result(timeout_s=limit)
    except (TimeoutError, ray.exceptions.RayError):
        drained = False
    if not drained:
        raise RunFailed(f"requests were under way for more than {limit:g} s, and were ended")


def why(name: str, said: str) -> str:
    """What kept an application from starting, in our own words where they are in Serve's."""
    ours = re.findall(r"actors\.errors\.\w+: (.+)", said)
    return f"{name} cannot be served: {ours[-1] if ours else said.splitlines()[0]}"


def config(plan: Plan, file: Path, settings: list[str], place: Place, args: dict[str, Any]) -> str:
    """A Serve config that deploys the pipeline: YAML, with what to do with it above."""
    said = {"file": str(file.resolve()), "set": settings, **args}
    shown = {
        "proxy_location": "HeadOnly",
        "http_options": {"host": place.host, "port": place.port},
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
        "applications": [
            {
                "name": plan.pipeline.name,
                "route_prefix": "/",
                "import_path": IMPORT,
                "args": {name: value for name, value in said.items() if value not in (None, [])},
            }
        ],
    }
    return (
        f"# Serves {file.name}; made by  gristmill serve build {shlex.quote(file.name)}\n"
        "#   serve run serve.yaml          on this machine\n"
        "#   serve deploy serve.yaml       on a cluster; or as serveConfigV2 of a RayService\n"
        "# The pipeline file, local models and the token file must lie at these paths on every\n"
        "# machine. Behind any host but 127.0.0.1 give a token_file: Serve itself asks for none.\n"
        + yaml.safe_dump(shown, sort_keys=False, allow_unicode=True)
    )
