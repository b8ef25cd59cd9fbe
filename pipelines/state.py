"""What there is to do: the source's files against the output's parts."""

import posixpath
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from actors.errors import SourceFailed, UsageError
from pipelines.arrivals import Arrivals
from pipelines.dispatch import Work
from pipelines.flow import Ticket
from pipelines.held import take_back
from pipelines.ledger import Ledger, Rejected, rejected_rows, withdraw
from pipelines.spec import Pipeline
from pipelines.store import Store
from pipelines.units import Extent, SourceFile, Span, Unit

SHOWN = 5
"""Names listed in a message before the rest is counted."""


@dataclass(frozen=True, slots=True)
class Sorted:
    """The source's files: finished, changed since they were answered, and still to do.

    `deleted` are the names of files that are answered and not listed any more.
    """

    finished: tuple[SourceFile, ...]
    changed: tuple[SourceFile, ...]
    todo: tuple[SourceFile, ...]
    deleted: tuple[str, ...] = ()


def sort_files(
    files: Sequence[SourceFile], ledger: Ledger, waiting: Collection[str] = ()
) -> Sorted:
    """Compare the listing with the footers; opens no file.

    `waiting` are the names of files that are there and left for the next run.
    """
    finished, changed, todo = [], [], []
    for file in files:
        if ledger.has_changed(file):
            changed.append(file)
        elif ledger.is_finished(file):
            finished.append(file)
        else:
            todo.append(file)
    deleted = ledger.files.keys() - {file.name for file in files} - set(waiting)
    return Sorted(tuple(finished), tuple(changed), tuple(todo), tuple(sorted(deleted)))


def check_root(files: Sequence[SourceFile], ledger: Ledger) -> None:
    """Refuse files that were answered under other names, because `path` begins elsewhere now.

    Told by the last part of the name with size and time. Raises UsageError.
    """
    listed = {file.name for file in files}
    if not ledger.files or not listed.isdisjoint(ledger.files):
        return
    before = {
        (posixpath.basename(name), version): name
        for name, versions in ledger.files.items()
        for version in versions
    }
    for file in files:
        old = before.get((posixpath.basename(file.name), file.version))
        if old is not None:
            raise UsageError(
                f"the source's files were answered under other names: {file.name!r} was {old!r}.\n"
                "  names begin below the source's path; write the path as it was, or give the sink "
                "a new one"
            )


def check_changes(pipeline: Pipeline, files: Sorted) -> None:
    """Refuse files that changed since they were answered, under on_change: error."""
    if files.changed and pipeline.on_change == "error":
        raise UsageError(changed_message(files.changed))


def arrivals_of(pipeline: Pipeline, files: Sorted, waiting: Mapping[str, str]) -> Arrivals:
    """What a run or a plan says of the files that are no plain work."""
    return Arrivals(
        waiting=dict(waiting),
        deleted=() if drops(pipeline, files) else files.deleted,
        dropped=files.deleted if drops(pipeline, files) else (),
        changed=tuple(file.name for file in files.changed),
    )


def drops(pipeline: Pipeline, files: Sorted) -> bool:
    """Whether rows of deleted files are to be taken back."""
    return bool(files.deleted) and pipeline.on_delete == "drop"


def check_deletions(pipeline: Pipeline, ledger: Ledger, files: Sorted) -> None:
    """Refuse deleted files under on_delete: error, and of tables under keep; under drop, too many
    of them at once.

    Raises UsageError.
    """
    if not files.deleted or (pipeline.on_delete == "keep" and not pipeline.source.rewrites):
        return
    if pipeline.on_delete == "keep":
        raise UsageError(
            f"{_deleted_message(files.deleted)}.\n"
            "  rows of the table were deleted or updated, and rows that stood in the same files "
            "may stand in new ones,\n  so on_delete: keep would let them stand twice\n"
            "  to take the old rows back and answer the new files:   on_delete: drop"
        )
    if pipeline.on_delete == "error":
        raise UsageError(
            f"{_deleted_message(files.deleted)}.\n"
            "  to keep their rows:        on_delete: keep\n"
            "  to take their rows back:   on_delete: drop"
        )
    most = pipeline.errors.max_dropped
    if len(files.deleted) > most * len(ledger.files):
        raise UsageError(
            f"{_deleted_message(files.deleted)}: {len(files.deleted)} of {len(ledger.files)} files,"
            f" and errors: max_dropped allows {most:.0%} at once.\n"
            "  if a disk or a folder is missing, put it back; nothing was taken back\n"
            "  if they are gone for good:  gristmill run FILE --set errors.max_dropped=1"
        )


def withdraw_old(
    pipeline: Pipeline, store: Store, ledger: Ledger, files: Sorted, run: str
) -> tuple[Ledger, Sorted]:
    """Withdraw what changed, under on_change: reprocess, and what is deleted, under on_delete:
    drop, as one. Hold the lock.

    With gates, what stands in data stays until the new rows are released.
    """
    ledger = _without_reverted(store, ledger, files, run)
    changed = files.changed if pipeline.on_change == "reprocess" else ()
    deleted = files.deleted if drops(pipeline, files) else ()
    if not changed and not deleted:
        return ledger, files
    take = take_back if pipeline.gates else withdraw
    ledger = take(store, ledger, {*deleted, *(file.name for file in changed)}, run)
    if changed:
        todo = tuple(sorted(files.todo + changed, key=_name))
        files = replace(files, changed=(), todo=todo)
    return ledger, files


def _without_reverted(store: Store, ledger: Ledger, files: Sorted, run: str) -> Ledger:
    """Throw away held rows of files that are again as they were answered in data before."""
    held = {a.file: a.version for f in ledger.footers if f.name in ledger.held for a in f.answers}
    there = (*files.finished, *files.todo)
    reverted = {f.name for f in there if held.get(f.name, f.version) != f.version}
    return take_back(store, ledger, reverted, run) if reverted else ledger


def _deleted_message(deleted: Sequence[str]) -> str:
    return f"source files that are answered are not there any more: {_named(deleted)}"


def waiting_message(waiting: Mapping[str, str]) -> str:
    """What waits, where nothing else is there."""
    why = "\n".join(f"  {name}: {why}" for name, why in list(waiting.items())[:SHOWN])
    return f"nothing to do yet: every file there is ({len(waiting)}) is still being written.\n{why}"


def _named(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(repr(name) for name in names[:SHOWN]) + more


def changed_message(changed: Sequence[SourceFile]) -> str:
    """What changed, and what can be done about it."""
    return (
        f"source files changed since they were answered: {_named([f.name for f in changed])}.\n"
        "  to answer them anew:        on_change: reprocess\n"
        "  to keep the old answers:    on_change: ignore"
    )


def work_of(ledger: Ledger, files: Sorted, retries: Sequence[Ticket] = ()) -> Work:
    """The work that is left."""
    answered = {f.name: rows for f in files.todo if (rows := ledger.answered(f))}
    left = sum(f.size - _answered_bytes(ledger, f) for f in files.todo)
    return Work(files.todo, left, answered, tuple(retries))


def _answered_bytes(ledger: Ledger, file: SourceFile) -> int:
    """About how many of a file's bytes are answered."""
    rows = sum(stop - start for start, stop in ledger.answered(file))
    return file.size * rows // max(ledger.rows_of(file) or 1, 1)


def retry_tickets(
    pipeline: Pipeline, store: Store, ledger: Ledger, files: Iterable[SourceFile]
) -> list[Ticket]:
    """A ticket for each unit that has rejected rows whose files are as they were."""
    by_name = {file.name: file for file in files}
    opened: dict[str, Extent] = {}
    tickets = []
    for rejected in rejected_rows(store, ledger):
        unit = _retry_unit(pipeline, ledger, rejected, by_name, opened)
        if unit is not None:
            footer = rejected.footer
            tickets.append(Ticket(unit, footer.unit, footer.generation + 1, rejected.attempts))
    return tickets


def _retry_unit(
    pipeline: Pipeline,
    ledger: Ledger,
    rejected: Rejected,
    files: dict[str, SourceFile],
    opened: dict[str, Extent],
) -> Unit | None:
    """The rejected rows as spans; None if one of their files is gone, changed or unreadable."""
    spans: list[Span] = []
    versions = {a.file: a.version for a in ledger.units[rejected.footer.unit][0].answers}
    for name in dict.fromkeys(name for name, _ in rejected.attempts):
        file = files.get(name)
        if file is None or file.version != versions.get(name):
            return None
        rows = sorted(row for other, row in rejected.attempts if other == name)
        try:
            opened[name] = opened.get(name) or pipeline.source.opens(file)
        except SourceFailed:
            return None
        spans += [opened[name].span(start, stop) for start, stop in _runs(rows)]
    return Unit(tuple(spans))


def _runs(rows: Sequence[int]) -> list[tuple[int, int]]:
    """[1, 2, 3, 7] -> [(1, 4), (7, 8)]."""
    runs: list[tuple[int, int]] = []
    for row in rows:
        if runs and runs[-1][1] == row:
            runs[-1] = (runs[-1][0], row + 1)
        else:
            runs.append((row, row + 1))
    return runs


def _name(file: SourceFile) -> str:
    return file.name
