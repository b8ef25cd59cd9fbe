"""The output folder: files appear whole or not at all, here and on object stores."""

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from pyarrow import fs

from actors.errors import SinkFailed, UsageError
from pipelines.sources.listing import shown

T = TypeVar("T")

DATA, REJECTS, OURS = "data", "rejects", "_gristmill"
ASIDE = f"{OURS}/aside"
"""Where parts are written before they are put in place; on the same file system, so that the
rename is one step. Nothing in it counts."""

HELD = f"{OURS}/held"
"""Where parts wait for the pipeline's gates: in folders of the output's own names, `data` and
`rejects`, so that the same code works on both, and a release is a rename."""

PATIENCE_SECONDS = 120.0
"""A commit takes milliseconds, a slow disk seconds: a lock held this long is a stopped process."""

FULL = {errno.ENOSPC, errno.EDQUOT}

NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}
"""What file systems without hard links, or with no more of them for a file, answer."""


@dataclass(frozen=True)
class Store:
    """One output folder. `home` is the URI of its file system, empty for this machine.

    `area` is where its data and rejects lie inside the folder: at its top, or in HELD. The lock,
    the records and what is written aside are the same for both.
    """

    home: str
    path: str
    area: str = field(default="", kw_only=True)

    @classmethod
    def at(cls, where: str, base: Path) -> "Store":
        """The store at a path (relative to `base`) or URI. Raises UsageError."""
        if "://" not in where:
            return cls("", os.path.normpath(base.absolute() / where))
        try:
            system, path = fs.FileSystem.from_uri(where)
        except (pa.ArrowException, ValueError, OSError) as error:
            said = str(error).replace(where, shown(where))
            raise UsageError(f"sink path {shown(where)!r} cannot be opened: {said}") from None
        return cls("" if isinstance(system, fs.LocalFileSystem) else where, path.rstrip("/"))

    @cached_property
    def system(self) -> fs.FileSystem:
        """The pyarrow file system."""
        return fs.FileSystem.from_uri(self.home)[0] if self.home else fs.LocalFileSystem()

    @property
    def held(self) -> "Store":
        """The same output where parts wait for its gates."""
        return replace(self, area=HELD)

    def __getstate__(self) -> dict[str, str]:
        return {"home": self.home, "path": self.path, "area": self.area}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.__dict__.update(state)

    @property
    def is_local(self) -> bool:
        """Whether renames and locks of this machine's kernel work."""
        return not self.home

    @property
    def shown(self) -> str:
        """How messages name it: without the secrets that a URI may hold."""
        return shown(self.home) or self.path

    def full(self, name: str) -> str:
        """The path of a name inside the file system."""
        inside = f"{self.area}/{name}" if self.area and not name.startswith(OURS) else name
        return f"{self.path}/{inside}"

    def prepare(self) -> None:
        """Make the folders. Raises SinkFailed."""
        # Ours first: a folder without it counts as somebody else's.
        for folder in (ASIDE, DATA, REJECTS):
            self._try(self.system.create_dir, self.full(folder))

    def names(self, folder: str) -> list[str]:
        """The plain files of a folder, without hidden ones, sorted; empty if there is none."""
        selector = fs.FileSelector(self.full(folder), allow_not_found=True)
        infos = self._try(self.system.get_file_info, selector)
        return sorted(
            i.base_name for i in infos if i.is_file and not i.base_name.startswith((".", "_"))
        )

    def top(self) -> list[str]:
        """The names in the folder itself, without hidden ones, sorted; empty if there is none."""
        selector = fs.FileSelector(self.path, allow_not_found=True)
        infos = self._try(self.system.get_file_info, selector)
        return sorted(i.base_name for i in infos if not i.base_name.startswith("."))

    def read(self, name: str) -> bytes | None:
        """A file's content, or None if there is no such file."""
        try:
            with self.system.open_input_stream(self.full(name)) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed(error) from None

    def open(self, name: str) -> Any:
        """A file to read at random. Raises FileNotFoundError, SinkFailed."""
        try:
            return self.system.open_input_file(self.full(name))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._failed(error) from None

    def put(self, name: str, content: bytes | pa.Buffer) -> None:
        """Put a file in place in one step, also over an older one. Raises SinkFailed."""
        self._try(self._put_local if self.is_local else self._put_remote, name, content)

    def alias(self, name: str, other: str) -> None:
        """Give a file a second name, which keeps this content when the first one gets another.

        It takes no room on a disk that knows hard links, and is a copy elsewhere. Raises
        FileNotFoundError, SinkFailed.
        """
        aside = self.full(f"{ASIDE}/{secrets.token_hex(8)}")
        try:
            _link(self.full(name), aside)
            Path(aside).replace(self.full(other))
            # Two names of one file: the system calls the rename done, and leaves both.
            Path(aside).unlink(missing_ok=True)
        except FileNotFoundError:
            raise
        except OSError as error:
            Path(aside).unlink(missing_ok=True)
            raise self._failed(error) from None

    def delete(self, name: str) -> None:
        """Delete a file; it may be gone already."""
        try:
            self.system.delete_file(self.full(name))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._failed(error) from None

    def move(self, name: str, to: str) -> None:
        """Move a file in one step, also over an older one; it may be moved already.

        On an object store, which has no rename, it is there twice for a moment.
        """
        info = self._try(self.system.get_file_info, self.full(name))
        if info.type != fs.FileType.NotFound:
            self._try(
                self._move_local if self.is_local else self.system.move, *map(self.full, (name, to))
            )

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Held while a commit looks at the lock and puts its part in place."""
        with self._kernel_lock(fcntl.LOCK_SH):
            yield

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Held while the lock changes hands: no commit is under way then, on this machine."""
        with self._kernel_lock(fcntl.LOCK_EX):
            yield

    @contextlib.contextmanager
    def _kernel_lock(self, kind: int) -> Iterator[None]:
        if not self.is_local:
            yield
            return
        handle = self._try(os.open, self.full(f"{OURS}/commit.lock"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._wait_for(handle, kind)
            yield
        finally:
            os.close(handle)

    def _wait_for(self, handle: int, kind: int) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return fcntl.flock(handle, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SinkFailed(
                        f"a process has held {self.full(OURS)}/commit.lock for "
                        f"{PATIENCE_SECONDS:g} s.\n  look for a stopped process and end it"
                    ) from None
                time.sleep(0.02)

    def _put_local(self, name: str, content: bytes | pa.Buffer) -> None:
        aside = self.full(f"{ASIDE}/{secrets.token_hex(8)}")
        try:
            with Path(aside).open("wb") as file:
                file.write(memoryview(content))
                file.flush()
                os.fsync(file.fileno())
            target = Path(self.full(name))
            Path(aside).replace(target)
        except OSError:
            Path(aside).unlink(missing_ok=True)
            raise
        sync_folder(target.parent)

    def _move_local(self, path: str, to: str) -> None:
        Path(path).replace(to)
        sync_folder(Path(to).parent)

    def _put_remote(self, name: str, content: bytes | pa.Buffer) -> None:
        """An object appears when its upload is complete; one write, so it is whole or absent."""
        with self.system.open_output_stream(self.full(name)) as stream:
            stream.write(content)

    def _try(self, call: Callable[..., T], *args: Any) -> T:
        try:
            return call(*args)
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> SinkFailed:
        where = self.shown
        if error.errno in FULL:
            return SinkFailed(
                f"no room left for the output {where}.\n"
                "  what is committed stays; make room and run again to go on"
            )
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            return SinkFailed(
                f"no right to write the output {where}: {error.strerror or error}.\n"
                "  give this user the right, or choose another folder under sink: path:"
            )
        return SinkFailed(f"the output {where} cannot be used: {error}")


def _link(path: str, other: str) -> None:
    """Make a hard link, or a copy where the file system has none."""
    try:
        os.link(path, other)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copyfile(path, other)
        with Path(other).open("rb") as file:
            os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
