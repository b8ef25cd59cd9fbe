"""Walking folders: every file below one, on this machine or in a remote file system."""

import fnmatch
import os
import posixpath
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pyarrow import fs

HIDDEN = ("_", ".")
"""First characters of names that are not data: what other tools keep for themselves."""


class Entry(NamedTuple):
    """A file found: name relative to the folder, path in its file system, bytes, mtime in ns."""

    name: str
    path: str
    size: int
    mtime_ns: int | None


def below(system: fs.FileSystem, folder: str) -> Iterator[Entry]:
    """Yield the files below a folder whose names, and folders' names, are not hidden.

    Raise OSError when a folder cannot be listed.
    """
    found = _local(folder) if isinstance(system, fs.LocalFileSystem) else _remote(system, folder)
    return (entry for entry in found if not _hidden(entry.name))


def _hidden(name: str) -> bool:
    return any(part.startswith(HIDDEN) for part in name.split("/"))


def _remote(system: fs.FileSystem, folder: str) -> Iterator[Entry]:
    for info in system.get_file_info(fs.FileSelector(folder, recursive=True)):
        if info.is_file:
            name = posixpath.relpath(info.path, folder)
            yield Entry(name, info.path, info.size, info.mtime_ns)


def _local(folder: str) -> Iterator[Entry]:
    """Walk breadth first, links to folders last, each real folder once: loops end, and a folder
    keeps its own name when a link to it appears."""
    waiting, linked, seen = deque([("", folder)]), deque[tuple[str, str]](), set[tuple[int, int]]()
    while waiting or linked:
        prefix, path = waiting.popleft() if waiting else linked.popleft()
        status = Path(path).stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for item in sorted(os.scandir(path), key=lambda item: item.name):
            if item.name.startswith(HIDDEN):
                continue
            if item.is_dir():
                (linked if item.is_symlink() else waiting).append(
                    (prefix + item.name + "/", item.path)
                )
            elif item.is_file():
                status = item.stat()
                yield Entry(prefix + item.name, item.path, status.st_size, status.st_mtime_ns)


def glob_pattern(glob: str) -> re.Pattern[str]:
    """Compile a glob over relative names: `*`, `?` and `[...]` stay inside one part, `**` is any
    number of folders."""
    parts = glob.split("/")
    said = ""
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        if part == "**":
            said += ".*" if last else "(?:[^/]+/)*"
        else:
            said += _part_pattern(part) + ("" if last else "/")
    return re.compile(rf"(?s:{said})\Z")


def _part_pattern(part: str) -> str:
    """Translate one part; fnmatch does the rest, given that `/` matches no wildcard."""
    pieces = re.split(r"(\*+|\?|\[!?\]?[^\]/]*\])", part)
    return "".join(_piece_pattern(piece) for piece in pieces)


def _piece_pattern(piece: str) -> str:
    if piece.startswith("*"):
        return "[^/]*"
    if piece == "?":
        return "[^/]"
    if piece.startswith("[") and piece.endswith("]"):
        return (
            fnmatch.translate(piece).removeprefix("(?s:").removesuffix(r")\Z").removesuffix(r")\z")
        )
    return re.escape(piece)
