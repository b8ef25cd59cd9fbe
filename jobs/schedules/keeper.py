"""The process beside a tick: starts its command, ends it at its time limit, writes how it ended.

It is a program of its own, so that a tick does not depend on the scheduler that started it: when
that is killed, the tick goes on, and the next scheduler reads how it ended. It takes one argument,
JSON: {command, folder, base, limit}; `base` is the path of the tick's files without their ends:

- BASE.started: made by whoever is first, with the keeper's process id; so one tick only is there.
- BASE.out, BASE.log: what the command prints on stdout and stderr.
- BASE.ended: {code, limited}: the exit code, 128 + N if signal N ended it, as shells write it.

All processes of a tick carry its base in their environment: so they are known again after any
death, and no other process that got the same number is taken for them.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

GRACE_SECONDS = 30.0
"""From SIGTERM to SIGKILL at the time limit: a run commits what it has within seconds."""

LOOK_SECONDS = 0.05
"""Between two looks at what is left: longer than starting a program takes."""

SHELL_SIGNAL = 128
"""What shells add to a signal's number."""

MARK = "GRISTMILL_TICK"
"""The variable that tells a tick's processes."""


def main(text: str) -> None:
    """Keep one tick."""
    given = json.loads(text)
    try:
        with Path(given["base"] + ".started").open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return  # somebody was first
    code, limited = _keep(given)
    put = Path(given["base"] + ".ended.new")
    put.write_text(json.dumps({"code": code, "limited": limited}))
    put.rename(given["base"] + ".ended")


def _keep(given: dict[str, Any]) -> tuple[int, bool]:
    with (
        Path(given["base"] + ".out").open("w") as out,
        Path(given["base"] + ".log").open("w") as log,
    ):
        try:
            child = subprocess.Popen(
                given["command"],
                cwd=given["folder"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
                env=os.environ | {MARK: given["base"]},
            )
        except OSError as error:
            log.write(f"error: the tick cannot start in {given['folder']}: {error}\n")
            return 2, False
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    limited = False
    try:
        child.wait(given["limit"])
    except subprocess.TimeoutExpired:
        limited = True
        _end(child)
    end_all(given["base"])
    code = child.returncode
    return (code if code >= 0 else SHELL_SIGNAL - code), limited


def _end(child: "subprocess.Popen[bytes]") -> None:
    """SIGTERM, time to commit, SIGKILL."""
    child.terminate()
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def end_all(base: str) -> None:
    """End what a command left behind: all processes of its tick but this one.

    Over when none is seen twice: one that is just starting a program shows no environment.
    """
    deadline, unseen = time.monotonic() + GRACE_SECONDS, 0
    while unseen < 2 and time.monotonic() < deadline:
        left = members(base)
        unseen = 0 if left else unseen + 1
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(LOOK_SECONDS)


def members(base: str) -> list[int]:
    """The living processes of a tick but this one; none where the system does not tell (/proc)."""
    others = [path for path in Path("/proc").glob("[0-9]*") if path.name != str(os.getpid())]
    return [int(path.name) for path in others if _marked(path, base)]


def _marked(process: Path, base: str) -> bool:
    try:
        return f"{MARK}={base}\0".encode() in (process / "environ").read_bytes()
    except OSError:  # gone, or of another user
        return False


if __name__ == "__main__":
    main(sys.argv[1])
