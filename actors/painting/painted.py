"""What a model that paints gives back."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from PIL import Image

from actors.diffused_stage import Order
from actors.stage import Batching, Item


class Painted(NamedTuple):
    """A picture, and whether the model's own safety checker took offence: it is black then. None
    where there is no checker."""

    image: Image.Image
    nsfw: bool | None


class Painter(Protocol):
    """A loaded model that paints after prompts."""

    batching: Batching

    def item(self, order: Order) -> Item:
        """Return a row as an item. Raises RowRejected."""

    def is_cut(self, prompt: str) -> bool:
        """Whether the model reads only the beginning of a prompt."""

    def paint(self, items: Sequence[Item]) -> list[Painted]:
        """Return a picture for each item."""
