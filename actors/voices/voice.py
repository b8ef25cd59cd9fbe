"""What the voices of all models have in common."""

from collections.abc import Sequence
from typing import Protocol

from actors.sound import Samples
from actors.stage import Batching, Item, Row


class Voice(Protocol):
    """What reads sentences aloud. `rate` is in Hz."""

    rate: int
    batching: Batching

    def item(self, sentence: str, row: Row) -> Item | None:
        """Return a sentence of a row as an item; None where there is nothing to say."""

    def say(self, items: Sequence[Item]) -> list[Samples]:
        """Return the sound of each item."""
