"""Clouds of coloured points as PLY files."""

import numpy as np
from numpy.typing import NDArray

from actors.space.camera import Points

Colours = NDArray[np.uint8]
"""Red, green and blue, (points, 3)."""

POINT = np.dtype([(axis, "<f4") for axis in "xyz"] + [(c, "u1") for c in ("red", "green", "blue")])
HEADER = """\
ply
format binary_little_endian 1.0
element vertex {count}
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
end_header
"""


def ply_of(points: Points, colours: Colours) -> bytes:
    """Return points with their colours as a binary PLY file."""
    rows = np.empty(len(points), dtype=POINT)
    for number, axis in enumerate("xyz"):
        rows[axis] = points[:, number]
    for number, colour in enumerate(("red", "green", "blue")):
        rows[colour] = colours[:, number]
    return HEADER.format(count=len(rows)).encode() + rows.tobytes()
