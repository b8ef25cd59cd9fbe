"""How the things in a picture lie to each other, from their boxes and how far they are."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import dist
from typing import NamedTuple

from actors.space.camera import Camera
from actors.stage import Row

MOST = 0.9
"""Share of a box that lies in another when the one is inside the other."""

TOUCHING = 0.05
"""Share of a thing's height by which its lower edge may miss what it stands on."""


class Thing(NamedTuple):
    """A thing in a picture: edges of its box in pixels; `nearness` 0..1, 1 for the nearest thing
    that the picture shows; `place` in metres, x right, y down, z away, where it is known."""

    left: float
    top: float
    right: float
    bottom: float
    nearness: float
    place: tuple[float, float, float] | None

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of the box."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        return (self.right - self.left) * (self.bottom - self.top)


@dataclass(frozen=True, slots=True)
class Sense:
    """How much is much: `gap` the share of a distance by which things are apart in depth, `near`
    the metres within which things are near."""

    gap: float
    near: float

    def closer(self, one: Thing, other: Thing) -> bool:
        """Whether a thing is nearer to the camera than another, by more than the gap."""
        if one.place and other.place:
            return one.place[2] < other.place[2] * (1 - self.gap)
        return one.nearness > other.nearness + self.gap

    def level(self, one: Thing, other: Thing) -> bool:
        """Whether neither of two things is nearer to the camera."""
        return not self.closer(one, other) and not self.closer(other, one)


def left_of(one: Thing, other: Thing, sense: Sense) -> bool:
    """Each one's middle lies beside the other's box."""
    return one.middle[0] < other.left and other.middle[0] > one.right


def above(one: Thing, other: Thing, sense: Sense) -> bool:
    """Each one's middle lies over or under the other's box, and it does not stand on it."""
    apart = one.middle[1] < other.top and other.middle[1] > one.bottom
    return apart and not on(one, other, sense)


def in_front_of(one: Thing, other: Thing, sense: Sense) -> bool:
    """Nearer to the camera, in the same columns of the picture."""
    return _width_shared(one, other) > 0 and sense.closer(one, other)


def inside(one: Thing, other: Thing, sense: Sense) -> bool:
    """Nearly all of the box lies in a larger one, as far from the camera."""
    shared = _width_shared(one, other) * _height_shared(one, other)
    smaller = one.area < MOST * other.area
    return smaller and shared >= MOST * one.area and sense.level(one, other)


def on(one: Thing, other: Thing, sense: Sense) -> bool:
    """The lower edge lies in or just over the other's box, half of its width at least, the top
    above the other's top, as far from the camera."""
    margin = TOUCHING * (one.bottom - one.top)
    stands = other.top - margin <= one.bottom <= other.bottom and one.top < other.top
    wide = _width_shared(one, other) >= 0.5 * (one.right - one.left)
    higher = one.middle[1] < other.middle[1]
    return stands and wide and higher and sense.level(one, other)


def near(one: Thing, other: Thing, sense: Sense) -> bool:
    """Within `near` metres; where metres are not known, as far from the camera, and the boxes
    not farther apart than half the smaller one's diagonal."""
    if one.place and other.place:
        return dist(one.place, other.place) <= sense.near
    across, down = -_width_shared(one, other), -_height_shared(one, other)
    between = (max(across, 0) ** 2 + max(down, 0) ** 2) ** 0.5
    return sense.level(one, other) and between <= 0.5 * min(_diagonal(one), _diagonal(other))


Test = Callable[[Thing, Thing, Sense], bool]

MUTUAL: tuple[tuple[str, str, Test], ...] = (
    ("left of", "right of", left_of),
    ("above", "below", above),
    ("in front of", "behind", in_front_of),
    ("near", "near", near),
)
"""Relations with a counterpart: told once, of the thing that comes first."""

ONE_WAY: tuple[tuple[str, Test], ...] = (("on", on), ("inside", inside))
"""Relations of one thing to the other only."""


def relations_of(things: Sequence[Thing], sense: Sense) -> Iterator[Row]:
    """Yield how things lie to each other, the pairs of the first things first."""
    pairs = sorted(permutations(range(len(things)), 2), key=lambda pair: (max(pair), pair))
    for first, second in pairs:
        one, other = things[first], things[second]
        for name in _names(one, other, sense, first < second):
            yield {
                "subject": first,
                "object": second,
                "relation": name,
                "distance": dist(one.place, other.place) if one.place and other.place else None,
            }


def _names(one: Thing, other: Thing, sense: Sense, is_first: bool) -> Iterator[str]:
    if is_first:
        for name, counterpart, test in MUTUAL:
            if test(one, other, sense):
                yield name
            elif test(other, one, sense):
                yield counterpart
    for name, test in ONE_WAY:
        if test(one, other, sense):
            yield name


def _width_shared(one: Thing, other: Thing) -> float:
    return min(one.right, other.right) - max(one.left, other.left)


def _height_shared(one: Thing, other: Thing) -> float:
    return min(one.bottom, other.bottom) - max(one.top, other.top)


def _diagonal(one: Thing) -> float:
    return dist((one.left, one.top), (one.right, one.bottom))


def thing_of(
    edges: Sequence[float], depth: float, span: tuple[float, float], camera: Camera, metric: bool
) -> Thing:
    """Return the thing in a box with the depth that a map says of it; `span` is the least and the
    largest depth of the map."""
    low, high = span
    share = (depth - low) / (high - low) if high > low else 0.5
    box = dict(zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))
    x, y, z = camera.point(box, depth)
    left, top, right, bottom = edges
    nearness = 1 - share if metric else share
    return Thing(left, top, right, bottom, nearness, (x, y, z) if metric and z > 0 else None)
