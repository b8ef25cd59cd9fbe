"""What a model is asked of a row: tokens, and what it sees or hears beside them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from actors.stage import Item

# A patch of 16 x 16 pixels costs a model about what a token of its text does.
PATCH = 256


@dataclass(frozen=True, slots=True)
class Asked:
    """One row's question.

    ids    its tokens, int64 (n,)
    given  what else the model gets, by its names: arrays whose first axis counts what the row has
           (pictures, tiles, patches), so that those of several rows are put one after the other
    beside arrays with a value for each token, (1, n, ...), by the model's names
    cut    whether words were left out
    """

    ids: np.ndarray
    given: Mapping[str, np.ndarray] = field(default_factory=dict)
    beside: Mapping[str, np.ndarray] = field(default_factory=dict)
    cut: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of memory, for the worker's bound on what waits."""
        arrays = [self.ids, *self.given.values(), *self.beside.values()]
        return int(sum(array.nbytes for array in arrays))

    def item(self, more: int = 0, lengths_meet: bool = False) -> Item:
        """Return it on its way to the device, with `more` tokens to be written.

        Only rows whose pictures have one shape meet; and whose questions have one length, unless
        `lengths_meet`.
        """
        pixels = sum(_pixels(array) for array in self.given.values())
        length = len(self.ids)
        shapes = tuple((name, array.shape) for name, array in self.given.items())
        cost = max(length + more, pixels // PATCH)
        return Item(self, cost=cost, shape=(shapes, 0 if lengths_meet else length))


def _pixels(array: np.ndarray) -> int:
    """Return how many pixels an array of pictures (..., 3, height, width) holds, else 0."""
    return array.size // array.shape[-3] if array.ndim > 3 else 0
