"""What JSON Lines and CSV share: columns whose types are given or inferred, and a longest row."""

from pathlib import Path

from pydantic import Field, field_validator

from pipelines.sources.base import Answered
from pipelines.sources.columns import parse_types
from pipelines.sources.files import Files
from pipelines.sources.lines import refuse_packed
from pipelines.units import SourceFile

SAMPLE_ROWS = 1000
"""Rows that types are inferred from: tens of milliseconds of parsing at usual lengths."""


class TypedLines(Files):
    """Base of sources whose files hold one row per line and do not say their types."""

    columns: dict[str, str] = Field(
        default={},
        description="Types of columns, name: type. The others are inferred from the first rows.",
    )
    max_bytes: int = Field(
        default=16 << 20,
        ge=1,
        description="Longest row; longer ones are rejected. A book is about 1 MB.",
    )

    @field_validator("columns")
    @classmethod
    def _known_types(cls, columns: dict[str, str]) -> dict[str, str]:
        parse_types(columns)
        return columns

    def files(self, base: Path, answered: Answered = dict) -> list[SourceFile]:
        """List the files; compressed ones are refused."""
        files = super().files(base, answered)
        refuse_packed(files)
        return files
