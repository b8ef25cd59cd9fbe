"""What there is to do: the source's files against the output's parts."""

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from actors.errors import SourceFailed, UsageError
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
    """The source's files: finished, changed since they were answered, and still to do."""

    finished: tuple[SourceFile, ...]
    changed: tuple[SourceFile, ...]
    todo: tuple[SourceFile, ...]


def sort_files(files: Iterable[SourceFile], ledger: Ledger) -> Sorted:
    """Compare the listing with the footers; opens no file."""
    finished, changed, todo = [], [], []
    for file in files:
        if ledger.has_changed(file):
            changed.append(file)
        elif ledger.is_finished(file):
            finished.append(file)
        else:
            todo.append(file)
    return Sorted(tuple(finished), tuple(changed), tuple(todo))


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


def settle_changes(
    pipeline: Pipeline, store: Store, ledger: Ledger, files: Sorted, run: str
) -> tuple[Ledger, Sorted]:
    """Withdraw what changed since it was answered, under on_change: reprocess. Hold the lock.

    With gates, what stands in data stays until the new rows are released.
    """
    if not files.changed or pipeline.on_change != "reprocess":
        return ledger, files
    take = take_back if pipeline.gates else withdraw
    ledger = take(store, ledger, {file.name for file in files.changed}, run)
    return ledger, Sorted(files.finished, (), tuple(sorted(files.todo + files.changed, key=_name)))


def changed_message(changed: Sequence[SourceFile]) -> str:
    """What changed, and what can be done about it."""
    names = ", ".join(repr(file.name) for file in changed[:SHOWN])
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    return (
        f"source files changed since they were answered: {names}{more}.\n"
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
            opened[name] = opened.get(name) or pipeline.source.extent(file)
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
