"""Text: one file is one row, or one line is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator

from pipelines.sources.base import Answered, Read, Reject, answer, failed
from pipelines.sources.columns import agree
from pipelines.sources.files import Files
from pipelines.sources.lines import BOM, Layout, index, read_rows, refuse_packed
from pipelines.sources.whole import location, read_whole, refuse_size, whole_table
from pipelines.units import Extent, SourceFile, Span, Unit

SCHEMA = pa.schema([("path", pa.string()), ("text", pa.string())])

LAYOUT = Layout()


class Text(Files):
    """Rows from text: `path`, where the file is, and `text`. Empty files and lines are rows."""

    endings: ClassVar[tuple[str, ...]] = (".txt", ".text", ".md", ".rst")

    kind: Literal["text"] = "text"
    rows: Literal["file", "line"] = Field(default="file", description="What one row is.")
    encoding: str = Field(default="utf-8", description="Encoding, by its Python name.")
    max_bytes: int = Field(
        default=16 << 20,
        ge=1,
        description="Largest file, or line; larger ones are rejected. A book is about 1 MB.",
    )

    @model_validator(mode="after")
    def _usable_encoding(self) -> Self:
        try:
            newline = "\n".encode(self.encoding)
        except LookupError as error:
            raise ValueError(f"encoding {self.encoding!r} is not known") from error
        if self.rows == "line" and newline != b"\n":
            raise ValueError(f"rows: line needs one byte per newline, unlike {self.encoding!r}")
        return self

    def files(self, base: Path, answered: Answered = dict) -> list[SourceFile]:
        """List the files; compressed ones are refused."""
        files = super().files(base, answered)
        refuse_packed(files)
        return files

    def columns_of(self, files: Sequence[SourceFile]) -> pa.Schema:
        """Return `path` and `text`."""
        return SCHEMA

    def extent(self, file: SourceFile, columns: pa.Schema | None = None) -> Extent:
        """One row without opening the file, or its lines counted."""
        agree(file, SCHEMA, columns or SCHEMA)
        if self.rows == "file":
            return Extent(file, 1, file.size)
        try:
            return index(file, LAYOUT)
        except OSError as error:
            raise failed(file, error) from error

    def read(self, unit: Unit, columns: pa.Schema) -> Read:
        """Read files or lines; what does not decode is a reject."""
        if self.rows == "line":
            return super().read(unit, columns)
        read, skipped = read_whole(unit, self.max_bytes)
        rows = [(file, self._file(got)) for file, got in read]
        return Read(whole_table(rows, "text", columns), skipped)

    def read_span(self, span: Span, columns: pa.Schema) -> pa.Table:
        """Read some lines of one file, without their ends."""
        lines = [self._line(line) for line in read_rows(span, LAYOUT, self.max_bytes)]
        rejects = {place: got for place, got in enumerate(lines) if isinstance(got, Reject)}
        texts = [got for got in lines if isinstance(got, str)]
        offered = {"path": [location(span.file)] * len(texts), "text": texts}
        good = pa.table([pa.array(offered[f.name], f.type) for f in columns], schema=columns)
        return answer(span, columns, good, rejects)

    def answered(self, data: bytes) -> Mapping[str, Any] | Reject:
        """Return the columns of a file that is here, but for `path`, or why it is no row."""
        text = refuse_size(len(data), self.max_bytes) or self._file(data)
        return text if isinstance(text, Reject) else {"text": text}

    def _file(self, got: bytes | Reject) -> str | Reject:
        return got if isinstance(got, Reject) else self._decoded(got.removeprefix(BOM))

    def _line(self, line: bytes | None) -> str | Reject:
        if line is None:
            return Reject("row_too_large", f"the line is longer than max_bytes ({self.max_bytes})")
        return self._decoded(line.removesuffix(b"\r"))

    def _decoded(self, data: bytes) -> str | Reject:
        try:
            return data.decode(self.encoding)
        except UnicodeDecodeError as error:
            return Reject("bad_encoding", f"the text is not {self.encoding}: {error}")
