"""What every source is: files, the columns they offer, how many rows they have, and reading them.

A row that cannot be read is a row of the table like any other, with nulls for its columns and the
reason in `_reject`; only files vanish or break, and then none of their rows is answered.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from actors.errors import SourceFailed, UsageError
from pipelines.sources.listing import file_system, version
from pipelines.units import Extent, SourceFile, Span, Unit

KEYS = pa.schema([("_source", pa.string()), ("_row", pa.int64())])
"""A row's identity: the file's name below the source's root, and its place in the file."""

REJECT = pa.field("_reject", pa.struct([("reason", pa.string()), ("message", pa.string())]))
"""Why a row could not be read; null for good rows."""

NO_COLUMNS = pa.schema([])

RESERVED = (*KEYS.names, REJECT.name)
"""Column names that sources make themselves."""

MESSAGE_LENGTH = 300
"""Characters of a reject's message: parsers quote the value, which may be megabytes long."""


Answered = Callable[[], Mapping[str, AbstractSet[str]]]
"""Gives the names of the source's files that an output answers, with their versions. A call reads
every footer of the output, so only sources that go by what is answered ask."""


New = Callable[[], Sequence[SourceFile]]
"""Gives the source's files that are not answered; a call reads every footer of the output."""


class Reject(NamedTuple):
    """Why one row could not be read: a stable code and a sentence."""

    reason: str
    message: str


class Skipped(NamedTuple):
    """A file none of whose rows were read, and why: "vanished", "changed", or an error's text."""

    file: SourceFile
    why: str


class Read(NamedTuple):
    """What reading a unit gave: its rows, and the files that are not as they were planned."""

    table: pa.Table
    skipped: list[Skipped]


class Changed(Exception):
    """A file is not the one that was planned; the text is what `Skipped.why` says."""


class Source(BaseModel):
    """Base of every source: its fields are the options below `source:` in the pipeline file.

    Sources are frozen and pickle. A kind implements `files`, `columns_of`, `extent` and either
    `read_span` or `read`; the base class guards reading by the files' versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    where: ClassVar[frozenset[str]] = frozenset()
    """Options that say where the source lies or how much of it there is, not what its rows are:
    another value of them is the same pipeline."""

    rewrites: ClassVar[bool] = False
    """Whether files that vanish may have left rows in new files: keeping the answers of the old
    ones would then let rows stand twice."""

    def describe(self) -> dict[str, Any]:
        """Return what decides which rows the source has and what they are called."""
        return self.model_dump(mode="json", exclude=set(self.where))

    def files(self, base: Path, answered: Answered = dict) -> list[SourceFile]:
        """List the source's files, sorted by name; `base` is where relative paths begin.

        `answered` tells what the output has, to sources whose files depend on it.

        Raise UsageError when there is nothing to read.
        """
        raise NotImplementedError

    def check(self, file: SourceFile) -> None:
        """Raise Changed unless the file is still there at the planned version."""
        check_version(file)

    @property
    def may_grow(self) -> bool:
        """Whether files may still be written, so that one that changes is left for the next run."""
        return False

    def settled(
        self, files: Sequence[SourceFile], now: float
    ) -> tuple[list[SourceFile], dict[str, str]]:
        """Return the files that may be read, and those still being written: name -> why.

        `now` is in seconds, epoch.
        """
        return list(files), {}

    def offers(
        self,
        files: Sequence[SourceFile],
        known: pa.Schema = NO_COLUMNS,
        new: New = tuple,
    ) -> pa.Schema:
        """Return the columns that the files offer. Raise UsageError when that cannot be told, and
        for a file that must not be read.

        `known` are columns as earlier runs read them, `new` gives the files that none has
        answered; only sources that look into all of them ask.
        """
        try:
            return self.columns_of(files)
        except SourceFailed as error:
            raise UsageError(str(error)) from error

    def opens(self, file: SourceFile, columns: pa.Schema | None = None) -> Extent:
        """Tell the rows of a file, as `extent` does; what all kinds share is done around it."""
        return self.extent(file, columns)

    def gives(self, unit: Unit, columns: pa.Schema) -> Read:
        """Give the unit's rows, as `read` does; what all kinds share is done around it."""
        return self.read(unit, columns)

    def columns_of(self, files: Sequence[SourceFile]) -> pa.Schema:
        """Tell the columns, looking into as few files as it takes."""
        raise NotImplementedError

    def extent(self, file: SourceFile, columns: pa.Schema | None = None) -> Extent:
        """Open one file and tell its rows; check that it has `columns`, when given.

        Raise SourceFailed when it cannot be opened, or lacks a column or has it in another type.
        """
        raise NotImplementedError

    def read(self, unit: Unit, columns: pa.Schema) -> Read:
        """Read the unit's rows: `_source`, `_row`, the columns exactly as typed, `_reject`.

        Every file is checked to be the planned version, before and after; if it is not, or cannot
        be read, none of its rows are in the table and it is in `skipped`. Raise SourceFailed when a
        file lacks a column or has it in another type.
        """
        tables, skipped = [answer_schema(columns).empty_table()], []
        for span in unit.spans:
            try:
                tables.append(self._guarded(span, columns))
            except Changed as change:
                skipped.append(Skipped(span.file, str(change)))
        return Read(pa.concat_tables(tables), skipped)

    def read_span(self, span: Span, columns: pa.Schema) -> pa.Table:
        """Read the rows of one file. Raise OSError, ValueError or ArrowException
        when it is unreadable."""
        raise NotImplementedError

    def _guarded(self, span: Span, columns: pa.Schema) -> pa.Table:
        """Read one span of the planned version whole, or raise Changed."""
        self.check(span.file)
        if not span.rows:
            return answer_schema(columns).empty_table()
        with planned(span.file, self.check):
            table = self.read_span(span, columns)
        if table.num_rows != span.rows:
            raise Changed("changed")
        return table


@contextmanager
def planned(file: SourceFile, check: Callable[[SourceFile], None] | None = None) -> Iterator[None]:
    """Raise Changed when reading inside fails, or read anything but the planned version.

    `check` raises Changed when the version is another (left out: by the file's size and time).
    Looking at the version after reading is what proves the content.
    """
    check = check or check_version
    try:
        yield
    except FileNotFoundError as error:
        raise Changed("vanished") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        check(file)
        raise Changed(f"cannot be read: {error}"[:MESSAGE_LENGTH]) from error
    check(file)


def check_version(file: SourceFile) -> None:
    """Raise Changed unless the file is still there at the planned version."""
    try:
        info = file_system(file.home).get_file_info(file.path)
    except OSError as error:
        raise Changed(f"cannot be read: {error}"[:MESSAGE_LENGTH]) from error
    if not info.is_file:
        raise Changed("vanished")
    if version(info.size, info.mtime_ns) != file.version:
        raise Changed("changed")


def open_file(file: SourceFile) -> pa.NativeFile:
    """Open a source file for reading at any place. Raise OSError when it cannot be."""
    return file_system(file.home).open_input_file(file.path)


def failed(file: SourceFile, error: Exception) -> SourceFailed:
    """Return the error that says a file cannot be opened."""
    return SourceFailed(f"source file {file.name!r} cannot be opened: {error}")


def answer_schema(columns: pa.Schema) -> pa.Schema:
    """Return the schema of what `read` answers for these columns."""
    return pa.schema([*KEYS, *columns, REJECT])


def answer(
    span: Span, columns: pa.Schema, good: pa.Table, rejects: Mapping[int, Reject]
) -> pa.Table:
    """Lay the good rows and the rejects of a span out in order.

    `good` has the rows that are not rejects, in order; `rejects` is keyed by place in the span.
    """
    if rejects:
        count = iter(range(good.num_rows))
        places = [None if row in rejects else next(count) for row in range(span.rows)]
        good = good.take(pa.array(places, pa.int64()))
    keys = [
        pa.repeat(span.file.name, span.rows),
        pa.array(range(span.start, span.stop), pa.int64()),
    ]
    why = [told(rejects.get(row)) for row in range(span.rows)] if rejects else None
    reject = pa.array(why, REJECT.type) if why else pa.nulls(span.rows, REJECT.type)
    return pa.Table.from_arrays([*keys, *good.columns, reject], schema=answer_schema(columns))


def told(reject: Reject | None) -> dict[str, str] | None:
    """Return the value of `_reject`; what the message cannot hold in UTF-8 is replaced."""
    if reject is None:
        return None
    message = reject.message.encode(errors="replace").decode()
    return {"reason": reject.reason, "message": message[:MESSAGE_LENGTH]}
