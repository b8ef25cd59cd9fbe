"""What tasks share that read one text with a model of limited length."""

from typing import ClassVar, Literal

from actors.stage import Columns, Stage, option
from actors.text import TEXT


class TextStage(Stage):
    """Base of tasks on one text, read as far as the model goes."""

    reads: ClassVar[Columns] = TEXT

    max_length: int | None = option(
        None, "Most tokens read of a text; default: all that the model takes.", ge=8, le=1_000_000
    )
    too_long: Literal["truncate", "reject"] = option(
        "truncate",
        "A longer text: read its beginning and say so in the `..._truncated` column, or reject"
        " the row (too_long).",
    )
