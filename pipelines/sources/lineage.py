"""Compaction: what a table's own rewriting of files means for rows that are answered already.

A table may be rewritten without changing a row of it: small files become one large file. The rows
in the new file are then answered, under the old files' names. So the new files stand for the old
ones as long as they are all in the table; what is left of the old ones is read from them, for a
table keeps such files for a while.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple


class Rewrite(NamedTuple):
    """One step of a table's history that replaced files by others with the same rows."""

    removed: frozenset[str]
    added: frozenset[str]


def standing(
    listed: Iterable[str], answered: AbstractSet[str], rewrites: Sequence[Rewrite]
) -> set[str]:
    """Return the names under which the table's rows are to be read.

    `listed` are the files of the table, `answered` those that the output has, in part at least, and
    `rewrites` the table's history, oldest first. Rewritten files of which nothing is answered are
    new files like any other.
    """
    known = set(answered)
    for step in rewrites:
        if step.removed & known:
            known |= step.added
    found = set(listed)
    for step in reversed(rewrites):
        if step.removed & known and step.added <= found:
            found = (found - step.added) | step.removed
    return found
