"""Which points of several views are one point of the scene."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]
"""Numbers of two views, the smaller first."""

Place = tuple[int, int, int]
"""A view and the pixel, in whole numbers, where a point was found in it."""


class Shared(NamedTuple):
    """What two views share: pixels of the one and of the other, float, (n, 2), and colours in the
    one, uint8, (n, 3)."""

    points: NDArray[np.floating]
    others: NDArray[np.floating]
    colours: NDArray[np.uint8]


class Track(NamedTuple):
    """One point of the scene: the pixel where each view shows it, and its colour."""

    seen: dict[int, NDArray[np.float64]]
    colour: NDArray[np.uint8]


def tracks_of(pairs: Mapping[Pair, Shared]) -> list[Track]:
    """Join matches into tracks; those that are in one view twice are left out."""
    parent: dict[Place, Place] = {}
    pixel: dict[Place, NDArray[np.float64]] = {}
    colour: dict[Place, NDArray[np.uint8]] = {}
    for (first, second), shared in pairs.items():
        for point, other, rgb in zip(shared.points, shared.others, shared.colours, strict=True):
            here, there = _place(first, point), _place(second, other)
            pixel.setdefault(here, np.asarray(point, dtype=np.float64))
            pixel.setdefault(there, np.asarray(other, dtype=np.float64))
            colour.setdefault(here, rgb)
            parent[_root(parent, there)] = _root(parent, here)
    groups = defaultdict(list)
    for place in pixel:
        groups[_root(parent, place)].append(place)
    whole = (group for group in groups.values() if _is_once_a_view(group))
    return [
        Track(
            {place[0]: pixel[place] for place in sorted(group)},
            next(colour[place] for place in sorted(group) if place in colour),
        )
        for group in whole
    ]


def _place(view: int, point: NDArray[np.floating]) -> Place:
    return view, round(float(point[0])), round(float(point[1]))


def _root(parent: dict[Place, Place], place: Place) -> Place:
    """Return the place that stands for a group, shortening the way there."""
    while (above := parent.setdefault(place, place)) != place:
        parent[place] = parent[above]
        place = parent[place]
    return place


def _is_once_a_view(places: Iterable[Place]) -> bool:
    views = [place[0] for place in places]
    return len(set(views)) == len(views) > 1
