"""Every error that a user can meet, named by consequence.

GristmillError
├── StillWritten      there is nothing to do yet                        exit 0
├── UsageError        the command, the file or the plan is wrong        exit 2
├── RunFailed         the run cannot go on                              exit 1
│   ├── StageFailed   a model cannot be loaded, or keeps dying
│   │   └── DeviceBroken   the device, not a row, failed
│   ├── SourceFailed  the source is not as it was planned, or unreadable
│   │   └── SourceDrifted  a file has other columns or types than before
│   ├── SinkFailed    the output cannot be written
│   ├── LockLost      another run owns the output
│   └── ClusterFailed the cluster is not there, refuses us, or fits us not
│       └── ClusterSilent  it does not answer now
└── RowRejected       one row cannot be answered; the run goes on

Messages say what was asked, where, what there is, and what to type. All pickle, because they
cross processes.
"""

import difflib
from collections.abc import Iterable, Mapping


class GristmillError(Exception):
    """Base of all errors below; its text is shown to the user without a traceback."""

    exit_code = 1


class UsageError(GristmillError):
    """The command or the pipeline file is wrong; nothing was started."""

    exit_code = 2


class StillWritten(GristmillError):
    """Every file of the source is still being written; the next run will see them.

    `waiting` says why of each.
    """

    exit_code = 0

    def __init__(self, message: str, waiting: Mapping[str, str]) -> None:
        super().__init__(message, waiting)
        self.message = message
        self.waiting = dict(waiting)

    def __str__(self) -> str:
        return self.message


class RunFailed(GristmillError):
    """The run cannot go on; what is committed stays, and the next run goes on from there."""


class StageFailed(RunFailed):
    """A stage cannot work at all: its model does not load, or its device broke."""


class DeviceBroken(StageFailed):
    """The device failed; no row is to blame. A fresh process may work."""


class SourceFailed(RunFailed):
    """A source file cannot be read, vanished, or changed since it was planned."""


class SourceDrifted(SourceFailed):
    """A source file lacks a column, or has it in another type than the files before it."""


class SinkFailed(RunFailed):
    """The output cannot be written: no room, no rights, not a folder of ours."""


class LockLost(RunFailed):
    """Another run took over this output; this one may not commit any more."""


class ClusterFailed(RunFailed):
    """The cluster to submit to is not there, refuses us, or runs another version."""


class ClusterSilent(ClusterFailed):
    """The cluster does not answer, or answers that it failed; it may be back in a moment."""


class RowRejected(GristmillError):
    """One row cannot be answered.

    `reason` is a stable code that users filter by (lower case, underscores), `message` is for
    people. Raise it from a stage's prepare, infer or finish.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the choice nearest to `word`, or nothing."""
    found = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f" (did you mean '{found[0]}'?)" if found else ""
