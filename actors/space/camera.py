"""A camera without distortion: from pixels with depths to points in space."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import radians, tan

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""Points in space, (points, 3): x to the right, y down, z away from the camera."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole that looks at the middle of a picture; all in pixels of that picture, whose
    pixels have whole numbers in their middle, as OpenCV counts them."""

    focal: float
    width: int
    height: int

    @classmethod
    def of(cls, width: int, height: int, fov: float, focal: float | None) -> "Camera":
        """Return the camera of a picture; without a focal length in pixels, `fov` is the angle
        that the longer side spans, in degrees."""
        if focal is None:
            focal = max(width, height) / 2 / tan(radians(fov) / 2)
        return cls(focal, width, height)

    def rays(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return where lines of sight cross z = 1, (n, 2), for pixels (n, 2)."""
        middle = np.array([self.width - 1, self.height - 1]) / 2
        rays: NDArray[np.float64] = (np.asarray(pixels, dtype=np.float64) - middle) / self.focal
        return rays

    def point(self, box: Mapping[str, float], depth: float) -> list[float]:
        """Return the point at a depth behind the middle of a box (edges of pixels)."""
        x, y = (box["xmin"] + box["xmax"] - 1) / 2, (box["ymin"] + box["ymax"] - 1) / 2
        (ray,) = self.rays(np.array([[x, y]]))
        return [float(ray[0] * depth), float(ray[1] * depth), float(depth)]

    def points(self, depth: NDArray[np.floating]) -> Points:
        """Return the points of a map of depths, row by row; the map may be smaller than the
        picture."""
        height, width = depth.shape
        x = (np.arange(width) + 0.5) * (self.width / width) - 0.5
        y = (np.arange(height) + 0.5) * (self.height / height) - 0.5
        pixels = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        z = depth.reshape(-1, 1).astype(np.float64)
        return np.concatenate([self.rays(pixels) * z, z], axis=1)
