"""Some rows of a source, spread over all of it: what a calibration measures."""

import random
from collections.abc import Iterable, Iterator, Sequence
from math import ceil

from pipelines.dispatch import UNIT_BYTES
from pipelines.sources import AnySource
from pipelines.units import Extent, SourceFile, Span, Unit

PLACES = 64
"""Most places that rows are taken from: each may cost a Parquet row group to read, some ten MB."""

LOTS = 4
"""Lots that the rows are measured in: enough to see how times spread, and each large enough to
fill micro-batches when some hundred rows are measured."""

Stretch = tuple[SourceFile, int, int]
"""Rows [start, stop) of a file."""


def spread(stretches: Sequence[Stretch], rows: int, seed: int = 0) -> list[list[Stretch]]:
    """Choose `rows` rows, in at most PLACES groups of neighbours; all, if there are no more.

    The stretches, laid end to end, are cut into equal parts, and each part gives one group from a
    random place in it: so every file counts by its rows, and a source that is sorted (short rows
    first) is seen whole. The same seed chooses the same rows.
    """
    total = sum(stop - start for _, start, stop in stretches)
    group = ceil(min(rows, total) / PLACES) if total else 1
    groups, wanted = ceil(total / group), ceil(min(rows, total) / group)
    chance = random.Random(seed)
    ranges = []
    for n in range(wanted):
        first = group * chance.randrange(groups * n // wanted, groups * (n + 1) // wanted)
        size = min(rows, total) * (n + 1) // wanted - min(rows, total) * n // wanted
        ranges.append((first, first + size))
    return list(_stretches(stretches, ranges))


def _stretches(
    stretches: Sequence[Stretch], ranges: Iterable[tuple[int, int]]
) -> Iterator[list[Stretch]]:
    """Turn ascending ranges of the rows laid end to end into rows of files."""
    place, begins = 0, 0
    for low, high in ranges:
        found: list[Stretch] = []
        while place < len(stretches):
            file, start, stop = stretches[place]
            first = max(low - begins, 0) + start
            last = min(high - begins + start, stop)
            if first < last:
                found.append((file, first, last))
            if begins + stop - start > high:
                break
            begins += stop - start
            place += 1
        yield found
        if place == len(stretches):
            return


def lots(source: AnySource, groups: Sequence[Sequence[Stretch]]) -> list[Unit]:
    """Deal groups of rows out to LOTS units, or to more where these would be too large to hold.

    Each lot gets every so manieth group, so it is spread over the source, too. Raises SourceFailed,
    UsageError.
    """
    extents: dict[str, Extent] = {}
    spans = [[_span(source, each, extents) for each in group] for group in groups]
    weight = sum(span.bytes for group in spans for span in group)
    count = min(max(LOTS, ceil(weight / UNIT_BYTES)), len(spans))
    dealt = [[s for group in spans[n::count] for s in group] for n in range(count)]
    return [Unit(tuple(sorted(lot, key=_place))) for lot in dealt]


def _span(source: AnySource, stretch: Stretch, extents: dict[str, Extent]) -> Span:
    file, start, stop = stretch
    if file.name not in extents:
        extents[file.name] = source.opens(file)
    return extents[file.name].span(start, stop)


def _place(span: Span) -> tuple[str, int]:
    return span.file.name, span.start
