"""What tasks share that read two texts with one model of limited length."""

from typing import Literal

from actors.stage import Stage, option


class PairStage(Stage):
    """Base of tasks on two texts, read as far as the model goes."""

    max_length: int | None = option(
        None,
        "Most tokens read at once, of both texts where the model reads them together; default: all"
        " that it takes.",
        ge=8,
        le=1_000_000,
    )
    too_long: Literal["truncate", "reject"] = option(
        "truncate",
        "Texts that do not fit: read their beginnings (of the longer one first) and say so in the"
        " `..._truncated` column, or reject the row (too_long).",
    )
