"""The console that prints for people."""

from typing import Any

from rich.console import Console
from rich.text import Text

from jobs.plain import plain


class Terminal(Console):
    """A console that writes out the control characters of what it is given; its colours stay."""

    def __init__(self, **wanted: Any) -> None:
        super().__init__(markup=False, highlight=False, **wanted)

    def render_str(self, text: str, **how: Any) -> Text:
        """What rich makes of each text that is printed, also of a table's cells."""
        return super().render_str(plain(text), **how)
