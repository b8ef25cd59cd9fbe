"""What a submitted job starts on the head: `python3 -m jobs.clusters.driver run FILE ...`.

`python3` is whatever stands first in the PATH of the head's Ray, which need not be the Python that
Ray runs on (an environment that was not activated, pyenv, conda). So this file imports nothing but
the standard library until it runs on Ray's own Python, which it finds in the command line of the
raylet that it descends from.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = "--here"
"""First argument when Ray's Python was looked for already."""

FLAG = "--python_worker_command="
"""The raylet's flag with the command that starts workers: Ray's Python, then a script."""


def main() -> int:
    """Run a verb of the command line on Ray's Python; returns the exit code."""
    if sys.argv[1:2] != [HERE]:
        python = ray_python(os.getppid()) or sys.executable
        os.execv(python, [python, "-m", "jobs.clusters.driver", HERE, *sys.argv[1:]])
    from actors.errors import GristmillError
    from jobs.cli import main as command_line
    from jobs.clusters import secrets

    try:
        secrets.apply()
    except GristmillError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return command_line(sys.argv[2:])


def ray_python(process: int) -> str | None:
    """The Python of the raylet among a process's ancestors; None where there is none (or no /proc).

    Plain syntax: any Python since 3.7 must be able to read this file.
    """
    while process > 1:
        try:
            words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
            stat = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            return None
        for word in words:
            if word.startswith(FLAG.encode()):
                return word[len(FLAG) :].split()[0].decode()
        # Field 4; the name in field 2 stands in parentheses and may hold anything.
        process = int(stat.rpartition(")")[2].split()[1])
    return None


if __name__ == "__main__":
    sys.exit(main())
