"""`gristmill doctor`: what this machine has, what is missing, and what to do about it."""

import os
import platform
import resource
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

State = Literal["ok", "note", "bad"]

EXTRAS = {
    "embedded": ("spacy", "onnx"),
    "search": ("faiss",),
    "video": ("av",),
    "diffusion": ("diffusers",),
    "delta": ("deltalake",),
    "iceberg": ("pyiceberg",),
    "postgres": ("psycopg",),
}
"""What each extra of the installation brings, by the names that Python imports."""

DISK, MEMORY, FILES = 5 * 2**30, 4 * 2**30, 4096
"""Least free disk (models of the demo are 0.3 GB, of the hub some GB each), memory (Ray and two
small models take 3 GB) and open files (Ray opens a socket for each pair of its processes)."""

SHARED = 2 * 2**30
"""Least shared memory, where Ray keeps the rows under way; with less it falls back to the disk."""

HUB_SECONDS = 5.0
"""How long the hub may take to answer; one that can be reached does so in well under one."""

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `do` says what to do, empty when nothing is."""

    what: str
    state: State
    said: str
    do: str = ""

    def as_dict(self) -> dict[str, str]:
        """For --json."""
        return asdict(self)


def examine(cache: Path, environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """Look at everything; `cache` is the folder of the embedded models."""
    return [
        *_python(),
        *_packages(),
        *_devices(),
        *_room(cache),
        *_limits(),
        *_tokens(environment),
        *_hub(),
    ]


def _python() -> Iterator[Finding]:
    said = f"{platform.python_version()} at {sys.executable}"
    fits = (3, 11) <= sys.version_info < (3, 14)
    yield Finding("Python", "ok" if fits else "bad", said, "" if fits else "use 3.11 to 3.13")


def _packages() -> Iterator[Finding]:
    for name in ("gristmill", "ray", "torch", "transformers", "pyarrow"):
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            do = "pip install gristmill, or  make setup  in a checkout"
            yield Finding(name, "bad", "is not installed", do)
    for extra, modules in EXTRAS.items():
        missing = [module for module in modules if find_spec(module) is None]
        if missing:
            said = f"not installed ({', '.join(missing)})"
            yield Finding(f"extra {extra}", "note", said, f"pip install 'gristmill[{extra}]'")
        else:
            yield Finding(f"extra {extra}", "ok", "installed")


def _devices() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("CPUs", "ok", str(cores))
    if find_spec("torch") is None:
        return
    import torch

    if not torch.cuda.is_available():
        built = "its build has no CUDA" if torch.version.cuda is None else "no driver answers"
        do = "nothing, unless this machine has one; stages ask for it by  resources: {gpus: 1}"
        yield Finding("GPU", "note", f"torch sees none ({built})", do)
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16: write  precision: fp32"
        said = f"{name}, {free / GIB:.0f} of {total / GIB:.0f} GiB free, {bf16}"
        yield Finding(f"GPU {number}", "ok", said)


def _room(cache: Path) -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    yield _enough("memory", memory.available, memory.total, MEMORY, "end other programs")
    places = {"models' cache": cache, "temporary files": Path(tempfile.gettempdir())}
    for what, place in places.items():
        there = next(p for p in (place, *place.parents) if p.exists())
        disk = shutil.disk_usage(there)
        found = _enough(what, disk.free, disk.total, DISK, f"make room in {there}")
        yield Finding(found.what, found.state, f"{found.said} in {place}", found.do)
        if not os.access(there, os.W_OK):
            yield Finding(what, "bad", f"{there} cannot be written", "give this user the right")
    if Path("/dev/shm").is_dir():
        disk = shutil.disk_usage("/dev/shm")
        do = "in a container:  --shm-size=4g"
        yield _enough("shared memory", disk.free, disk.total, SHARED, do)


def _enough(what: str, free: int, total: int, least: int, do: str) -> Finding:
    said = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free"
    return Finding(what, "ok", said) if free >= least else Finding(what, "note", said, do)


def _limits() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = soft != resource.RLIM_INFINITY and soft < FILES
    do = f"ulimit -n {FILES if hard == resource.RLIM_INFINITY else min(max(FILES, soft), hard)}"
    yield Finding("open files", "note" if few else "ok", str(soft), do if few else "")


def _tokens(environment: Mapping[str, str]) -> Iterator[Finding]:
    mode = environment.get("RAY_AUTH_MODE", "not set")
    path = Path(environment.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    if environment.get("RAY_AUTH_TOKEN"):
        yield Finding("cluster token", "ok", f"in RAY_AUTH_TOKEN (RAY_AUTH_MODE {mode})")
    elif not path.is_file():
        said = f"none at {path} (RAY_AUTH_MODE {mode})"
        yield Finding("cluster token", "note", said, "none is needed without a cluster")
    elif path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        said = f"{path} can be read by others (mode {stat.S_IMODE(path.stat().st_mode):o})"
        # Without a cluster that asks for it, the token opens nothing.
        state: State = "bad" if mode == "token" else "note"
        yield Finding("cluster token", state, said, f"chmod 600 {path}")
    else:
        yield Finding("cluster token", "ok", f"{path} (RAY_AUTH_MODE {mode})")


def _hub() -> Iterator[Finding]:
    from huggingface_hub import constants, get_token

    has = get_token() is not None
    do = "" if has else "gated models need one:  hf auth login"
    yield Finding("hub token", "ok" if has else "note", "there" if has else "none", do)
    if constants.HF_HUB_OFFLINE:
        yield Finding("hub", "note", "switched off by HF_HUB_OFFLINE", "models: embedded, or unset")
        return
    problem = _unreachable(constants.ENDPOINT)
    if problem is None:
        yield Finding("hub", "ok", f"{constants.ENDPOINT} answers")
    else:
        said = f"{constants.ENDPOINT} cannot be reached: {problem}"
        do = "write  models: embedded  in the pipeline file, or a folder:  model: ./folder"
        yield Finding("hub", "note", said, do)


def _unreachable(url: str) -> str | None:
    """Why a server does not answer in HUB_SECONDS; None if it does. Looking a name up knows no
    time limit, so a thread that may be left behind does it."""
    import httpx2

    problem: list[str | None] = [f"no answer in {HUB_SECONDS:g} s"]

    def ask() -> None:
        try:
            httpx2.head(url, timeout=HUB_SECONDS, follow_redirects=False)
            problem[0] = None
        except httpx2.HTTPError as error:
            problem[0] = str(error)

    asking = threading.Thread(target=ask, daemon=True, name="hub")
    asking.start()
    asking.join(HUB_SECONDS)
    return problem[0]


def print_findings(findings: list[Finding]) -> None:
    """The findings for people."""
    from jobs.terminal import Terminal

    console = Terminal(soft_wrap=True)
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        console.print(f"{finding.state:<5}{finding.what:<{width + 2}}{finding.said}")
        if finding.do and finding.state != "ok":
            console.print(f"{'':<{width + 7}}-> {finding.do}")
