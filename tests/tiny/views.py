"""Views of a made-up room, by cameras whose place is known."""

from benchmarks.rooms import view_of
from tests.tiny.case import Row
from tests.tiny.seeing import encoded

PLACES = [((0.0, 0.0, 0.0), 0.0), ((0.7, 0.1, 0.2), -5.0), ((1.3, 0.0, 0.5), -10.0)]
"""Where cameras stand, and by how many degrees they are turned."""


def views(seed: int, count: int = 3) -> Row:
    """The first `count` views of a room."""
    return {"images": [encoded(view_of(seed, *place)) for place in PLACES[:count]]}
