"""What sources that are files below a path share: listing, waiting, folders with values, drift."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, field_validator

from actors.errors import SourceFailed, UsageError
from pipelines.sources.base import NO_COLUMNS, Answered, Changed, New, Read, Source
from pipelines.sources.columns import parse_types, settled
from pipelines.sources.listing import list_files
from pipelines.sources.partitions import check_values, partition_columns, values_of, with_values
from pipelines.sources.settling import split
from pipelines.sources.widening import widest
from pipelines.units import Extent, SourceFile, Unit

OPENED_AT_ONCE = 16
"""Files opened at once: hides the latency of object stores."""


class Files(Source):
    """Base of sources that are files below a path. A kind names the endings of its files."""

    where: ClassVar[frozenset[str]] = frozenset({"path", "settle", "schema_rule"})

    endings: ClassVar[tuple[str, ...]] = ()
    """Endings of this kind's files, lower case, with the dot."""

    path: str | tuple[str, ...] = Field(
        description="File, folder, glob or a list of them; local or a URI such as s3://bucket/key."
    )
    extensions: tuple[str, ...] = Field(
        default=(),
        description="Endings of the files to take from folders, in place of the kind's usual ones.",
    )
    partitions: Literal["hive"] | None = Field(
        default=None, description="hive: folders such as year=2026/ are columns."
    )
    partition_types: dict[str, str] = Field(
        default={}, description="Types of such columns, name: type; the others follow the values."
    )
    schema_rule: Literal["strict", "widen"] = Field(
        default="strict",
        alias="schema",
        description="widen: types that fit are cast, and a missing column is null; strict: such "
        "files are left out.",
    )
    settle: float = Field(
        default=0.0,
        ge=0,
        description="Seconds that a file must have been left alone to be read; 0: all are read.",
    )

    @field_validator("partition_types")
    @classmethod
    def _known_folder_types(cls, types: dict[str, str]) -> dict[str, str]:
        parse_types(types)
        return types

    def describe(self) -> dict[str, Any]:
        """Return what the rows are; names begin with their root when there are several."""
        several = not isinstance(self.path, str) and len(self.path) > 1
        said = super().describe() | {"names begin with": "their root" if several else "nothing"}
        folders = {"partitions", "partition_types"} if self.partitions is None else set()
        return {key: value for key, value in said.items() if key not in folders}

    def files(self, base: Path, answered: Answered = dict) -> list[SourceFile]:
        """List the files below `path`, sorted by name.

        Raise UsageError for a path that is not there or has no file of this kind.
        """
        paths = (self.path,) if isinstance(self.path, str) else self.path
        chosen = tuple("." + ending.lower().lstrip(".") for ending in self.extensions)
        return list_files(paths, base, chosen or self.endings)

    @property
    def may_grow(self) -> bool:
        """Whether there is a settle time."""
        return self.settle > 0

    def settled(
        self, files: Sequence[SourceFile], now: float
    ) -> tuple[list[SourceFile], dict[str, str]]:
        """Tell files that are younger than the settle time apart."""
        return split(files, self.settle, now)

    def offers(
        self,
        files: Sequence[SourceFile],
        known: pa.Schema = NO_COLUMNS,
        new: New = tuple,
    ) -> pa.Schema:
        """Return the columns inside the files and those of their folders; what is known stays."""
        outside = self._partitions(files)
        if self.schema_rule == "widen":
            inside = self._widest(new()) or super().offers(files)
        else:
            inside = super().offers(files)
        for name in outside.names:
            if name in inside.names:
                raise UsageError(
                    f"column {name!r} is in the names of the folders and in {files[0].name!r} too\n"
                    "  write the files without it, or leave out  partitions: hive"
                )
        return _with_known(pa.schema([*_settled(inside), *outside]), known)

    def _partitions(self, files: Sequence[SourceFile]) -> pa.Schema:
        if self.partitions is None:
            return NO_COLUMNS
        return partition_columns(files, parse_types(self.partition_types))

    def _widest(self, files: Sequence[SourceFile]) -> pa.Schema | None:
        """The columns of all files, in types that all fit into; None where none can be told."""
        with ThreadPoolExecutor(OPENED_AT_ONCE) as pool:
            found = widest(pool.map(self._columns_in, files))
        return found if len(found) else None

    def _columns_in(self, file: SourceFile) -> pa.Schema:
        """The columns of one file; none where they cannot be told, which opening it will say."""
        try:
            return self.columns_of([file])
        except (SourceFailed, UsageError):
            return NO_COLUMNS

    def _inside(self, columns: pa.Schema, files: Sequence[SourceFile]) -> pa.Schema:
        """The columns that are read from inside of files."""
        if self.partitions is None:
            return columns
        outside = {key for file in files for key in values_of(file)}
        return pa.schema([field for field in columns if field.name not in outside])

    def opens(self, file: SourceFile, columns: pa.Schema | None = None) -> Extent:
        """Check the folders' values too; say of a file that is still written that it changed."""
        try:
            if columns is None:
                return self.extent(file)
            if self.partitions is not None:
                check_values(file, columns)
            return self.extent(file, self._inside(columns, [file]))
        except SourceFailed:
            if self.may_grow:
                _check_unchanged(self, file)
            raise

    def gives(self, unit: Unit, columns: pa.Schema) -> Read:
        """Give what is read from inside of the files with what their folders say."""
        files = list({span.file.name: span.file for span in unit.spans}.values())
        inside = self._inside(columns, files)
        read = self.read(unit, inside)
        if len(inside) == len(columns):
            return read
        return Read(with_values(read.table, files, columns), read.skipped)


def _check_unchanged(source: Source, file: SourceFile) -> None:
    """Raise SourceFailed that says so unless the file is as it was planned."""
    try:
        source.check(file)
    except Changed as change:
        raise SourceFailed(str(change)) from None


def _settled(found: pa.Schema) -> Iterator[pa.Field]:
    """The columns in types that values can have."""
    return (pa.field(field.name, settled(field.type)) for field in found)


def _with_known(found: pa.Schema, known: pa.Schema) -> pa.Schema:
    """The columns found, and those known already, these as they were known."""
    types = {field.name: field.type for field in found}
    return pa.schema(list((types | {field.name: field.type for field in known}).items()))
