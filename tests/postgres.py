"""A real PostgreSQL server for tests: its own folder, its own port, nobody else's."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

USERS = ("postgres", "nobody")
"""Who may run a server when the tests are run by root, who may not."""


class Server:
    """A running server; `url` of a database, and statements run in it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port

    def url(self, database: str) -> str:
        return f"postgresql:///{database}?host={self.folder}&port={self.port}&user=boss"

    def run(self, database: str, *statements: str) -> Any:
        """Run statements, each committed by itself; the last one's rows."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as there:
            for statement in statements:
                found = there.execute(statement)
            return found.fetchall() if found.description else None


@contextmanager
def running() -> Iterator[Server]:
    """Start a server, and stop it. Skips where PostgreSQL is not installed."""
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    if not (shutil.which("initdb") and shutil.which("pg_ctl")):
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed")
    folder = Path(tempfile.mkdtemp(prefix="gm-pg-"))
    try:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            server = Server(folder, free.getsockname()[1])
        yield from _started(server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _started(server: Server) -> Iterator[Server]:
    who = _unprivileged(server.folder)
    data = server.folder / "data"

    def do(*command: str) -> None:
        # Output into a file: the server inherits a pipe, which would never end.
        with (server.folder / "said").open("ab") as said:
            subprocess.run(
                command, check=True, cwd=server.folder, user=who, stdout=said, stderr=said
            )

    do("initdb", "-D", str(data), "-U", "boss", "-A", "trust", "--auth-host=scram-sha-256",
       "-E", "UTF8", "--no-sync", "--locale=C.UTF-8")  # fmt: skip
    settings = f"-F -p {server.port} -k {server.folder} -h 127.0.0.1 -c max_connections=60"
    do("pg_ctl", "-D", str(data), "-w", "-o", settings, "-l", f"{server.folder}/log", "start")
    try:
        yield server
    finally:
        do("pg_ctl", "-D", str(data), "-m", "immediate", "stop")


def _unprivileged(folder: Path) -> str | None:
    """Give the folder to a user that may run a server, if we are root."""
    if os.getuid() != 0:
        return None
    import pwd

    there = {entry.pw_name for entry in pwd.getpwall()}
    user = next((name for name in USERS if name in there), None)
    if user is None:
        pytest.skip("no user but root to run PostgreSQL")
    os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    return user
