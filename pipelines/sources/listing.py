"""The one listing: a file, a folder, a glob or a list of them becomes source files.

Names that begin with `_` or `.` are skipped below a folder (other tools put what is not data there,
or what is still being written), and so are endings of unfinished files (`.tmp`, `.part`...), unless
a glob asks for them. A file named outright is always taken.
"""

import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
from pyarrow import fs

from actors.errors import UsageError, nearest
from pipelines.sources.folders import HIDDEN, Entry, below, glob_pattern
from pipelines.sources.settling import is_unfinished
from pipelines.units import SourceFile

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Root:
    """A place to list.

    written  what the user wrote, without secrets.
    home     the URI of its file system, empty for this machine.
    path     the file or folder inside it; for a glob, the part before the first wildcard.
    label    `path` as it was written: what its names begin with when there are several roots.
    glob     the rest of a glob, or empty.
    """

    written: str
    home: str
    path: str
    label: str
    glob: str = ""


@lru_cache(maxsize=16)
def file_system(home: str) -> fs.FileSystem:
    """Return the file system of a URI (empty: this machine), made once per process.

    Credentials, region and endpoint come from the URI's query or as pyarrow finds them.
    """
    return fs.FileSystem.from_uri(home)[0] if home else fs.LocalFileSystem()


def version(size: int, mtime_ns: int | None) -> str:
    """Return the version of a file: changed content has another size or modification time."""
    return f"{size}-{mtime_ns or 0}"


def shown(written: str) -> str:
    """Return a URI without its user, password and query, which may be secrets."""
    if not _SCHEME.match(written):
        return written
    return re.sub(r"(?<=://)[^/@]*@", "", written).split("?")[0]


def list_files(paths: Sequence[str], base: Path, extensions: Sequence[str]) -> list[SourceFile]:
    """List the files of all `paths`, sorted by name, each file once.

    Names are relative to the root: the folder, a file's folder, or a glob's part before the first
    wildcard. With several paths, names begin with the root as it was written, so that equal names
    in two roots stay apart. Folders, and globs that end in `/*` or `/**`, give files with one of
    `extensions` (lower case, with the dot). Raise UsageError for a path that is not there or has no
    such file.
    """
    roots = [root_of(path, base) for path in paths]
    found: dict[tuple[str, str], SourceFile] = {}
    for root in roots:
        for file in _files(root, extensions, labelled=len(roots) > 1):
            found.setdefault((file.home.split("://")[0], file.path), file)
    return sorted(found.values(), key=lambda file: file.name)


def root_of(written: str, base: Path) -> Root:
    """Say where a written path lies; relative ones begin at `base`."""
    if _SCHEME.match(written):
        return _remote_root(written)
    path = os.path.normpath(base.absolute() / written)
    return _cut(Root(written, "", path, os.path.normpath(written)))


def _remote_root(written: str) -> Root:
    uri = _quoted(written)
    try:
        system, path = fs.FileSystem.from_uri(uri)
    except (pa.ArrowException, ValueError, OSError, ImportError) as error:
        said = str(error).replace(uri, shown(written))
        raise UsageError(f"source path {shown(written)!r} cannot be opened: {said}") from None
    home = "" if isinstance(system, fs.LocalFileSystem) else uri
    path = path.rstrip("/") or "/"
    label = f"{home.split('://')[0]}://{path}" if home else path
    return _cut(Root(shown(written), home, path, label))


def _quoted(written: str) -> str:
    """Quote what a URI may not hold (spaces, brackets, `#`); `%` escapes are taken as written."""
    path, mark, query = written.partition("?")
    return quote(path, safe="/%:@*!$&'()+,;=") + mark + query


def _cut(root: Root) -> Root:
    """Cut a glob before its first wildcard; a name that exists as it stands is no glob."""
    parts = root.path.split("/")
    first = next((i for i, part in enumerate(parts) if _MAGIC.search(part)), None)
    if first is None or (not root.home and os.path.lexists(root.path)):
        return root
    label = "/".join(root.label.split("/")[: first - len(parts)])
    folder = "/".join(parts[:first]) or "/"
    return Root(root.written, root.home, folder, label, "/".join(parts[first:]))


def _files(root: Root, extensions: Sequence[str], labelled: bool) -> list[SourceFile]:
    """List one root as source files."""
    try:
        label, entries = _entries(root, extensions)
    except OSError as error:
        raise UsageError(f"source path {root.written!r} cannot be listed: {error}") from error
    prefix = f"{label.rstrip('/')}/" if labelled and label not in ("", ".") else ""
    return [_source_file(root, prefix, entry) for entry in entries]


def _entries(root: Root, extensions: Sequence[str]) -> tuple[str, list[Entry]]:
    """Return the label of the root's folder and the files that are wanted in it."""
    system = file_system(root.home)
    info = system.get_file_info(root.path)
    if info.type == fs.FileType.NotFound:
        raise UsageError(missing(root, system))
    if info.is_file and not root.glob:
        name = posixpath.basename(root.path)
        return posixpath.dirname(root.label), [Entry(name, root.path, info.size, info.mtime_ns)]
    found = list(below(system, root.path)) if not info.is_file else []
    wanted = _wanted(found, root.glob, extensions)
    if not wanted:
        raise UsageError(_nothing(root, found, extensions))
    return root.label, wanted


def _wanted(found: Iterable[Entry], glob: str, extensions: Sequence[str]) -> list[Entry]:
    """Keep what the glob names; where it leaves the ending open, keep the kind's extensions."""
    if glob:
        pattern = glob_pattern(glob)
        found = [entry for entry in found if pattern.match(entry.name)]
    if not is_unfinished(glob):
        found = [entry for entry in found if not is_unfinished(entry.name)]
    if not _open_ended(glob):
        return list(found)
    return [entry for entry in found if entry.name.lower().endswith(tuple(extensions))]


def _open_ended(glob: str) -> bool:
    """Say whether a glob, or a folder without one, leaves the files' names to the kind."""
    return glob.split("/")[-1] in ("", "*", "**")


def _source_file(root: Root, prefix: str, entry: Entry) -> SourceFile:
    """Make the source file; refuse a name that no output column could hold."""
    name = prefix + entry.name
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the file name {entry.path!r} is not UTF-8, so its rows could not be named in the "
            f"output; rename the file"
        ) from error
    return SourceFile(name, entry.size, version(entry.size, entry.mtime_ns), entry.path, root.home)


def missing(root: Root, system: fs.FileSystem) -> str:
    """Say that a path is not there, how far it goes, and what is there."""
    parent, wanted = posixpath.split(root.path)
    while parent not in ("", "/") and system.get_file_info(parent).type == fs.FileType.NotFound:
        parent, wanted = posixpath.split(parent)
    message = f"source path {root.written!r} is not there (looked for {root.path})"
    if not parent:
        return message
    names = _names(system, parent)
    listed = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    return f"{message}\n  {parent} has: {listed or 'nothing'}{nearest(wanted, names)}"


def _names(system: fs.FileSystem, folder: str) -> list[str]:
    infos = system.get_file_info(fs.FileSelector(folder, allow_not_found=True))
    return sorted(info.base_name for info in infos if not info.base_name.startswith(HIDDEN))


def _nothing(root: Root, found: Sequence[Entry], extensions: Sequence[str]) -> str:
    """Say what was looked for below a root, and what is there instead."""
    looked = " ".join(extensions) if _open_ended(root.glob) else root.glob
    kinds = Counter(posixpath.splitext(entry.name)[1].lower() or "no ending" for entry in found)
    there = ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common(5))
    return (
        f"source path {root.written!r} has no file to read\n"
        f"  looked in {root.path} for: {looked}\n"
        f"  there is: {there or 'no file (names that begin with _ or . do not count)'}"
    )
