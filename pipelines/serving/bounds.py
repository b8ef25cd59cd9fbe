"""What one request, and all of them together, may ask of a service."""

from pydantic import Field

from pipelines.spec import Spec

HELD_BODIES = 8
"""Largest bodies that are held at once; what is larger together has to wait outside."""


class Bounds(Spec):
    """Limits of a service; what goes beyond them is refused with a status and a sentence."""

    max_bytes: int = Field(
        64 << 20, ge=1, description="largest request, bytes; 64 MiB hold 48 MB of files as base64"
    )
    max_rows: int = Field(1_000, ge=1, description="most rows or files of one request")
    timeout: float = Field(60.0, gt=0, description="seconds that one request may take")
    max_waiting: int = Field(
        128, ge=1, description="most requests under way; more are told to come again"
    )
