"""Pictures of made-up rooms, by cameras whose place is known."""

import numpy as np
from PIL import Image

FOV = 60.0
SIDE = 240
"""Pixels of a view's longer side."""


def room(seed: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, Image.Image]]:
    """Three walls: a corner, two edges, and what is painted on them."""
    chance = np.random.default_rng(seed)
    walls = []
    for corner, across, down in (
        ([-4, -3, 7], [8, 0, 0], [0, 6, 0]),
        ([-4, -3, 7], [0, 0, -6], [0, 6, 0]),
        ([-4, 2, 7], [8, 0, 0], [0, 0, -6]),
    ):
        blocks = chance.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        paint = Image.fromarray(blocks).resize((640, 480), Image.Resampling.BICUBIC)
        walls.append((*(np.array(v, dtype=float) for v in (corner, across, down)), paint))
    return walls


def turn_of(degrees: float) -> np.ndarray:
    """To the right, about the axis that points down."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


def view_of(
    seed: int, place: tuple[float, float, float], degrees: float, side: int = SIDE
) -> Image.Image:
    """What a camera at `place` shows of a room: each pixel the nearest wall that its ray meets."""
    height = side * 3 // 4
    focal = side / 2 / np.tan(np.radians(FOV) / 2)
    x, y = np.meshgrid(np.arange(side) - (side - 1) / 2, np.arange(height) - (height - 1) / 2)
    rays = np.stack([x / focal, y / focal, np.ones_like(x)], axis=-1) @ turn_of(degrees)
    nearest = np.full(x.shape, np.inf)
    picture = np.zeros((*x.shape, 3), dtype=np.uint8)
    for corner, across, down, paint in room(seed):
        normal = np.cross(across, down)
        far = ((corner - place) @ normal) / (rays @ normal)
        hit = place + rays * far[..., None] - corner
        u, v = hit @ across / (across @ across), hit @ down / (down @ down)
        met = (far > 0) & (far < nearest) & (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
        columns, rows = (u[met] * paint.width).astype(int), (v[met] * paint.height).astype(int)
        picture[met] = np.asarray(paint)[rows, columns]
        nearest[met] = far[met]
    return Image.fromarray(picture)
