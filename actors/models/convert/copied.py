"""Models that arrive ready to open: transformers folders with safetensors, spaCy folders."""

import shutil
from pathlib import Path


def convert(files: Path, folder: Path) -> None:
    """Copy the files as they are."""
    shutil.copytree(files, folder, dirs_exist_ok=True)
