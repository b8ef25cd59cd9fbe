"""Iceberg: the data files of one snapshot of a table, so that appended files are new work.

Columns are found by their ids and read in the table's types, renamed and widened ones too.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from actors.errors import UsageError
from pipelines.sources.base import MESSAGE_LENGTH, Answered, Changed, answer, failed
from pipelines.sources.columns import agree, offered
from pipelines.sources.iceberg_table import (
    Opened,
    loaded,
    metadata_file,
    no_secrets,
    opened_at,
    projected,
    replacements,
    told,
)
from pipelines.sources.lineage import standing
from pipelines.sources.parquet import UNREADABLE, opened_parquet, without_extensions
from pipelines.sources.tables import Table, live_extent, live_slice, note_of
from pipelines.units import Extent, SourceFile, Span


class Iceberg(Table):
    """Rows from the Parquet files of an Iceberg table; rows that were deleted do not count."""

    where: ClassVar[frozenset[str]] = frozenset({"catalog", "path", "snapshot"})

    kind: Literal["iceberg"] = "iceberg"
    table: str | None = Field(
        default=None,
        pattern=r"^[^.\s]+(\.[^.\s]+)+$",
        description="The table's name in its catalog: space.name.",
    )
    catalog: dict[str, str] = Field(
        default={},
        description="Properties of the catalog, as PyIceberg has them: name, type, uri.",
    )
    path: str | None = Field(
        default=None,
        description="In place of a catalog: the table's folder, or its metadata file.",
    )
    snapshot: int | None = Field(
        default=None, description="Snapshot of the table; left out, the newest."
    )

    @field_validator("catalog")
    @classmethod
    def _no_secrets(cls, given: dict[str, str]) -> dict[str, str]:
        """Properties are kept in each run's record, which is for everybody to read."""
        return no_secrets(given)

    @model_validator(mode="after")
    def _one_place(self) -> "Iceberg":
        if (self.table is None) == (self.path is None):
            raise ValueError(
                "needs either table (with catalog) or path, such as  "
                "{kind: iceberg, catalog: {type: sql, uri: 'sqlite:////data/catalog.db'}, "
                "table: shop.orders}"
            )
        return self

    def files(self, base: Path, answered: Answered = dict) -> list[SourceFile]:
        """List the data files of the snapshot, sorted by name.

        Files that only moved rows which `answered` has already are listed as the files that they
        were made of. Raise UsageError when there is no such table, or it needs what is not there.
        """
        with told(self._named()):
            opened = self._opened(base)
            found = opened.files()
        if not found:
            raise UsageError(f"the Iceberg table {self._named()} has no rows")
        files = {file.name: file for file in found}
        done = answered()
        if not done.keys() <= files.keys():
            with told(self._named()):
                files = _rewritten(opened, files, done)
        return sorted(files.values(), key=lambda file: file.name)

    def check(self, file: SourceFile) -> None:
        """Raise Changed unless the file is there at its size."""
        try:
            found = _opened(file).input(file)
            if not found.exists():
                raise Changed("vanished")
            size = len(found)
        except OSError as error:
            raise Changed(f"cannot be read: {error}"[:MESSAGE_LENGTH]) from error
        if size != file.size:
            raise Changed("changed")

    def columns_of(self, files: Sequence[SourceFile]) -> pa.Schema:
        """Return the table's columns."""
        return offered(without_extensions(_opened(files[0]).arrow_schema()))

    def extent(self, file: SourceFile, columns: pa.Schema | None = None) -> Extent:
        """Read the footer; rows that were deleted do not count."""
        if columns is not None and len(columns):
            agree(file, self.columns_of([file]), columns)
        try:
            with opened_parquet(file, _stream) as opened:
                return live_extent(file, opened, note_of(file).get("live"))
        except UNREADABLE as error:
            raise failed(file, error) from error

    def read_span(self, span: Span, columns: pa.Schema) -> pa.Table:
        """Read a slice by the columns' ids."""
        said = note_of(span.file)
        with opened_parquet(span.file, _stream) as opened:
            project = projected(_opened(span.file), span.file, opened.schema_arrow, columns.names)
            rows = live_slice(opened, said.get("live"), span.start, span.stop, project.names)
        return answer(span, columns, project.apply(rows, columns), {})

    def _opened(self, base: Path) -> Opened:
        """Find the table as it is now."""
        if self.path is not None:
            return opened_at(metadata_file(self.path, base), "{}", self.snapshot)
        table = loaded(self.catalog, str(self.table))
        properties = json.dumps(dict(table.io.properties))
        return opened_at(table.metadata_location, properties, self.snapshot)

    def _named(self) -> str:
        if self.path is not None:
            return repr(self.path)
        return f"{self.table!r} of catalog {self.catalog.get('name', 'default')!r}"


def _opened(file: SourceFile) -> Opened:
    """The table that a source file is of, opened once per process."""
    said = note_of(file)
    return opened_at(said["metadata"], said["properties"], said["at"])


def _stream(file: SourceFile) -> Any:
    return _opened(file).input(file).open()


def _rewritten(
    opened: Opened, files: Mapping[str, SourceFile], answered: Mapping[str, Any]
) -> dict[str, SourceFile]:
    """Return the files under whose names the rows are answered, or would be."""
    history = replacements(opened)
    names = standing(files, answered.keys(), history.rewrites)
    make: Callable[[str], SourceFile] = lambda name: opened.source_file(  # noqa: E731
        history.files[name], versions=answered.get(name)
    )
    return {name: files[name] if name in files else make(name) for name in names}
