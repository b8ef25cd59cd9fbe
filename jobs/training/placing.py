"""Where a trained model goes: its folder, written aside and put in place by a rename."""

import json
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from actors.errors import SinkFailed, UsageError
from actors.seeing.inspection import FAMILY as PICTURES
from actors.tables.stored import FAMILY as TABLES


@dataclass(frozen=True, slots=True)
class Place:
    """Where a training was asked for: its file, and the folder of the embedded models."""

    file: Path
    cache: Path
    fresh: bool

    @property
    def base(self) -> Path:
        """The folder where the file's relative paths begin."""
        return self.file.resolve().parent

    def output(self, name: str) -> Path:
        """Return the folder that `name` means. Raises UsageError when it may not be written."""
        output = (self.base / Path(name).expanduser()).resolve()
        _check_output(output, self.fresh)
        return output


def put(save: Callable[[Path], None], output: Path) -> None:
    """Let a model save itself beside the output, and swap it in. Raises SinkFailed."""
    aside = output.with_name(f".{output.name}.{secrets.token_hex(4)}")
    try:
        aside.mkdir(parents=True)
        save(aside)
        _put(aside, output)
    except OSError as error:
        raise SinkFailed(f"the model cannot be written to {output}: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _check_output(output: Path, fresh: bool) -> None:
    """Refuse a folder that is not ours, and a model that is there unless it is to be replaced."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not _is_ours(output):
        raise UsageError(
            f"{output} holds something that gristmill train did not write, and is left alone.\n"
            "  name another folder:  output: models/NEW_FOLDER"
        )
    if not fresh:
        raise UsageError(
            f"{output} holds a trained model already.\n"
            "  to replace it:  gristmill train FILE --fresh"
        )


def _is_ours(folder: Path) -> bool:
    try:
        said = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and said.get("model_type") in (TABLES, PICTURES)


def _put(aside: Path, output: Path) -> None:
    """Sync what was written, and rename it into place. An old model goes last; a kill between the
    two renames leaves it beside the output, under a hidden name."""
    for path in [*aside.iterdir(), aside]:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    old = aside.with_name(aside.name + ".old")
    if output.exists():
        output.rename(old)
    try:
        aside.rename(output)
    finally:
        if old.exists() and not output.exists():
            old.rename(output)
    shutil.rmtree(old, ignore_errors=True)
