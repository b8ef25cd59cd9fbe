"""What precedes a run: the source listed, the plan checked, its files against what is answered."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from actors.errors import StillWritten, UsageError
from pipelines.ledger import Ledger, read_all
from pipelines.plan import Plan, make_plan
from pipelines.record import check_same, known_columns
from pipelines.spec import Pipeline
from pipelines.state import (
    Sorted,
    check_changes,
    check_deletions,
    check_root,
    sort_files,
    waiting_message,
)
from pipelines.store import OURS, Store
from pipelines.units import SourceFile


@dataclass(frozen=True, slots=True)
class Prepared:
    """A pipeline whose source is listed and whose plan is checked.

    `waiting` are files that are still being written, name -> why; they are not among `files`.
    """

    plan: Plan
    files: tuple[SourceFile, ...]
    store: Store
    waiting: Mapping[str, str] = field(default_factory=dict)


def prepare(
    pipeline: Pipeline, file: str, base: Path, cache: Path, fresh: bool = False
) -> Prepared:
    """List the source and check the plan; loads no model. Raises UsageError, StillWritten.

    With `fresh`, what earlier runs answered, and the types that they read, do not bind.
    """
    store = Store.at(pipeline.sink.path, base)
    try:
        found = pipeline.source.files(base, dict if fresh else lambda: read_all(store).files)
        files, waiting = pipeline.source.settled(found, time.time())
        if waiting and not files:
            raise StillWritten(waiting_message(waiting), waiting)
        known = known_columns(store) if not fresh else pa.schema([])
        schema = pipeline.source.offers(files, known, lambda: _new(files, store, fresh))
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
    plan = make_plan(pipeline, file, base, cache, schema)
    _check_apart(found, store)
    pipeline.sink.check(store, plan.columns)
    return Prepared(plan, tuple(files), store, waiting)


def _new(files: Sequence[SourceFile], store: Store, fresh: bool) -> Sequence[SourceFile]:
    """The files that are not answered as they are, or all if the output is begun anew."""
    if fresh:
        return files
    found = sort_files(files, read_all(store))
    return [*found.todo, *found.changed]


def files_of(prepared: Prepared, ledger: Ledger) -> Sorted:
    """The source's files against what is answered. Raises UsageError if they do not agree."""
    check_same(prepared.store, ledger, prepared.plan)
    check_root(prepared.files, ledger)
    files = _sorted(prepared, ledger)
    check_changes(prepared.plan.pipeline, files)
    return files


def _sorted(prepared: Prepared, ledger: Ledger) -> Sorted:
    """The files sorted. Raises UsageError if too many are deleted."""
    files = sort_files(prepared.files, ledger, prepared.waiting)
    check_deletions(prepared.plan.pipeline, ledger, files)
    return files


def dropped(prepared: Prepared, ledger: Ledger) -> tuple[str, ...]:
    """The deleted files whose rows go. Raises UsageError."""
    if prepared.plan.pipeline.on_delete != "drop":
        return ()
    return _sorted(looked_again(prepared, ledger), ledger).deleted


def looked_again(prepared: Prepared, ledger: Ledger) -> Prepared:
    """List the source once more, under the lock, if files seem changed or deleted: another run may
    have answered files meanwhile that came, or changed, after our listing."""
    plan, source = prepared.plan, prepared.plan.pipeline.source
    files = sort_files(prepared.files, ledger, prepared.waiting)
    gone = files.deleted and (plan.pipeline.on_delete != "keep" or source.rewrites)
    if not gone and not (files.changed and plan.pipeline.on_change != "ignore"):
        return prepared
    found, waiting = source.settled(source.files(plan.base, lambda: ledger.files), time.time())
    return replace(prepared, files=tuple(found), waiting=waiting)


def check_output(store: Store) -> None:
    """Refuse a folder with files that we did not write. Raises UsageError."""
    names = store.top()
    if names and OURS not in names:
        raise UsageError(
            f"{store.shown} holds files that gristmill did not write: {', '.join(names[:5])}.\n"
            "  give the sink a folder of its own:  sink: {kind: parquet, path: NEW_FOLDER}"
        )


def _check_apart(files: Sequence[SourceFile], store: Store) -> None:
    """Refuse to take an output's own files for its source. Raises UsageError."""
    inside = next((f for f in files if f.path.startswith(store.path + "/")), None)
    if inside is not None:
        raise UsageError(
            f"the sink {store.shown} lies inside the source: {inside.name!r} is one of its files.\n"
            "  give the sink a folder outside the source's, or name the source's files by a glob"
        )
