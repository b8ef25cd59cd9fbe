"""From items in any order to micro-batches: sorted by cost, cut by a budget."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from actors.stage import Batching, Item


@dataclass(slots=True)
class Part:
    """One item of one row, and the place for its output. `row` is the row's position."""

    row: int
    item: Item
    output: Any = None


def sort_parts(parts: Sequence[Part], batching: Batching) -> list[list[Part]]:
    """Group parts that may meet in a micro-batch; each group from the costliest to the cheapest.

    Costliest first: the batch that does not fit in memory shows itself at once.
    """
    if batching.rule == "fixed":
        return [list(parts)] if parts else []
    if batching.rule == "length":
        return [_costliest_first(parts)] if parts else []
    groups: dict[Any, list[Part]] = defaultdict(list)
    for part in parts:
        groups[part.item.shape].append(part)
    return [_costliest_first(group) for group in groups.values()]


def _costliest_first(parts: Sequence[Part]) -> list[Part]:
    return sorted(parts, key=lambda part: -part.item.cost)


class Cut:
    """How many items fit in the next micro-batch; halves when memory runs out, and remembers."""

    def __init__(self, batching: Batching, rows: int | None, budget: int | None) -> None:
        self.batching = replace(
            batching,
            rows=min(batching.rows, rows or batching.rows),
            budget=min(batching.budget, budget or batching.budget),
        )
        self.halvings = 0

    def batches(self, parts: Sequence[Part]) -> Iterator[list[Part]]:
        """Cut one sorted group; looks at the bounds again before each micro-batch."""
        start = 0
        while start < len(parts):
            size = self._fits(parts[start].item.cost)
            yield list(parts[start : start + size])
            start += size

    def halve(self, parts: Sequence[Part]) -> None:
        """Remember that these parts were too many at once: lower the bound that let them in."""
        now = self.batching
        cost = len(parts) * max(part.item.cost for part in parts)
        if now.rule == "fixed" or len(parts) >= now.rows:
            self.batching = replace(now, rows=max(1, len(parts) // 2))
        else:
            self.batching = replace(now, budget=max(1, min(now.budget, cost) // 2))
        self.halvings += 1

    def take_halvings(self) -> int:
        """How often memory ran out since the last call."""
        halvings, self.halvings = self.halvings, 0
        return halvings

    def _fits(self, cost: int) -> int:
        return max(1, min(self.batching.rows, self.batching.budget // max(1, cost)))
