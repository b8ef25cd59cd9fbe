"""What is sent with a job: our own code, and the folder of the pipeline file.

The code that submits is the code that runs, whether it is installed here or a checkout; the cluster
needs only what it depends on.
"""

import contextlib
import fnmatch
import importlib.util
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from actors.errors import UsageError
from pipelines.spec import Pipeline
from pipelines.store import OURS

CODE = ("actors", "pipelines", "jobs")
HOME = Path(__file__).parent.parent.parent
"""Where our own packages lie: a checkout, or site-packages."""

MOST_BYTES = 100 * 2**20
"""The cluster keeps what is sent in the memory of its head, and each machine fetches it: code and
small models. Ray's own limit of 512 MiB is that of a message."""

SKIPPED = ("__pycache__", "*.egg-info", "node_modules")


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files to send: name on the cluster -> file here."""

    files: dict[str, Path]

    @property
    def bytes(self) -> int:
        """Their size, unpacked."""
        return sum(path.stat().st_size for path in self.files.values())

    @contextlib.contextmanager
    def laid_out(self) -> Iterator[Path]:
        """A folder that looks like the job's working directory, for as long as the block runs."""
        with tempfile.TemporaryDirectory(prefix="gristmill-") as name:
            folder = Path(name)
            for relative, path in self.files.items():
                link = folder / relative
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)
            _say_version(folder)
            yield folder


def bundle(root: Path, without: Sequence[Path], excludes: Sequence[str]) -> Bundle:
    """All that is sent of a folder, and our code. Raises UsageError when it is too large.

    Left out are hidden names, environments, caches, outputs of ours, the paths in `without` (the
    source and the sink), and what a pattern of `excludes` matches, by name or relative path.
    """
    taken = {path.resolve() for path in without}
    files = dict(_below(root, taken, excludes))
    ours = {} if root == HOME else dict(_code())
    clash = next((name for name in CODE if any(f.startswith(f"{name}/") for f in files)), None)
    if ours and clash:
        raise UsageError(
            f"{root} has a folder {clash!r}, which is what a part of gristmill is called; on the "
            "cluster they would be one.\n  rename it, or put the pipeline file into a folder of "
            "its own"
        )
    found = Bundle(files | ours)
    if found.bytes > MOST_BYTES:
        raise UsageError(_too_large(root, found))
    return found


def check_own_stages(pipeline: Pipeline, root: Path) -> None:
    """Refuse a stage of the user's own (module:Class) whose file is not sent. Raises UsageError."""
    for spec in pipeline.stages:
        module, colon, _ = spec.task.partition(":")
        found = importlib.util.find_spec(module.partition(".")[0]) if colon else None
        places = [found.origin, *(found.submodule_search_locations or ())] if found else []
        if not places or any("site-packages" in str(place) for place in places):
            continue
        if not any(place and Path(place).resolve().is_relative_to(root) for place in places):
            raise UsageError(
                f"stage {spec.task} lies in {places[-1]}, outside the folder that is sent, "
                f"{root}.\n"
                "  put it beside the pipeline file, or send a folder with both:  --root FOLDER"
            )


def _below(root: Path, taken: set[Path], excludes: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """The files of a folder that are sent: relative name, file."""
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        here = Path(folder)
        real = here.resolve()
        if real in seen or real in taken or _is_left_out(here):
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(_wanted(root, here, folders, excludes))
        for name in sorted(_wanted(root, here, names, excludes)):
            path = (here / name).resolve()
            if path.is_file() and path not in taken:
                yield str((here / name).relative_to(root)), path


def _is_left_out(folder: Path) -> bool:
    """Whether a folder is a Python environment or an output of ours."""
    return (folder / "pyvenv.cfg").exists() or (folder / OURS).is_dir()


def _wanted(root: Path, here: Path, names: Iterable[str], excludes: Sequence[str]) -> list[str]:
    return [
        name
        for name in names
        if not name.startswith(".")
        and not any(fnmatch.fnmatch(name, pattern) for pattern in (*SKIPPED, *excludes))
        and not any(fnmatch.fnmatch(str((here / name).relative_to(root)), p) for p in excludes)
    ]


def _code() -> Iterator[tuple[str, Path]]:
    """Our own packages."""
    for name in CODE:
        for relative, path in _below(HOME / name, set(), ()):
            yield f"{name}/{relative}", path


def _say_version(folder: Path) -> None:
    """Let the cluster's Python know the version of the code that it is sent."""
    ours = version("gristmill")
    place = folder / f"gristmill-{ours}.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: gristmill\nVersion: {ours}\n")


def _too_large(root: Path, found: Bundle) -> str:
    """Say what is large, most first."""
    sizes: dict[str, int] = {}
    for name, path in found.files.items():
        top = "/".join(name.split("/")[:2])
        sizes[top] = sizes.get(top, 0) + path.stat().st_size
    largest = sorted(sizes, key=lambda name: -sizes[name])[:5]
    listed = ", ".join(f"{name} ({sizes[name] / 2**20:.1f} MiB)" for name in largest)
    return (
        f"{root} would be sent with the job, and has {found.bytes / 2**20:.0f} MiB; "
        f"{MOST_BYTES // 2**20} MiB at most can be sent.\n  largest: {listed}\n"
        f"  leave something out:  --exclude '{largest[0]}'\n"
        "  or put the pipeline file into a folder of its own; models go to the hub, or to a path\n"
        "  that all machines see"
    )
