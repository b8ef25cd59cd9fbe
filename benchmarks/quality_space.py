"""How right 3d-reconstruction is without any weights, on a real stereo pair and on made-up rooms.

The pair is Middlebury's motorcycle (scikit-image's data, read out of its wheel) with measured
disparities: its cameras stand beside each other and look the same way, so the true turn is 0 and
the true way is to the right. Rooms are painted by us, seen by cameras whose place is known; views
have 640 x 480 pixels. Points and poses are found with SIFT.

    OMP_NUM_THREADS=1 python -m benchmarks.quality_space
"""

import argparse
import io
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.space.cloud import POINT
from actors.stage import ModelFiles, Row
from actors.vision.reconstruction_3d import Reconstruction3D
from actors.worker import Worker
from benchmarks.carried import PHOTOS, carried
from benchmarks.rooms import FOV, turn_of, view_of

FOCAL = 994.978
"""Pixels: the motorcycle's calibration, https://vision.middlebury.edu/stereo/data/scenes2014/."""

MIDDLE = (740 / 2, 499 / 2)
"""The middle of the motorcycle's pictures, which have 741 x 500 pixels."""

ROOMS = range(5)
PLACES = [
    ((0.0, 0.0, 0.0), 0.0),
    ((0.6, 0.1, 0.2), -4.0),
    ((1.2, 0.0, 0.4), -9.0),
    ((1.7, -0.1, 0.9), -15.0),
    ((2.1, 0.0, 1.5), -22.0),
]
"""Where the cameras of a room stand, and by how many degrees they are turned."""


def stereo_errors(found: Row, disparity: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return by how many pixels the disparity of each point misses what was measured there."""
    points = cloud(found)
    xyz = np.stack([points[axis].astype(np.float64) for axis in "xyz"], axis=1)
    pixels = xyz[:, :2] / xyz[:, 2:] * FOCAL + MIDDLE
    camera = found["cameras"][1]
    turn = np.array(camera["rotation"], dtype=np.float64).reshape(3, 3)
    there = xyz @ turn.T + camera["translation"]
    shift = pixels[:, 0] - (there[:, 0] / there[:, 2] * FOCAL + MIDDLE[0])
    columns, rows = np.rint(pixels).astype(int).T
    measured = disparity[rows, columns]
    known = np.isfinite(measured) & (measured > 0)
    errors: NDArray[np.float64] = np.abs(shift[known] - measured[known])
    return errors


def cloud(found: Row) -> NDArray[Any]:
    """Return the points of an answer's PLY file."""
    return np.frombuffer(found["points"].partition(b"end_header\n")[2], POINT)


def turn_error(found: Row, view: int, truth: NDArray[np.float64]) -> float:
    """Return by how many degrees a view is turned from the truth."""
    turn = np.array(found["cameras"][view]["rotation"], dtype=np.float64).reshape(3, 3)
    return float(np.degrees(np.arccos(np.clip((np.trace(turn @ truth.T) - 1) / 2, -1, 1))))


def way_error(found: Row, view: int, place: NDArray[np.float64]) -> float:
    """Return by how many degrees the way from the first view to another misses the truth."""
    camera = found["cameras"][view]
    turn = np.array(camera["rotation"], dtype=np.float64).reshape(3, 3)
    centre = -turn.T @ np.array(camera["translation"])
    cosine = centre @ place / np.linalg.norm(centre) / np.linalg.norm(place)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def show_motorcycle(data: Path) -> None:
    folder = carried(PHOTOS, "skimage/data", data)
    images = [(folder / f"motorcycle_{side}.png").read_bytes() for side in ("left", "right")]
    disparity = np.load(folder / "motorcycle_disp.npz")["arr_0"]
    found = answer(images, focal=FOCAL)
    errors = stereo_errors(found, disparity)
    line("motorcycle, points", str(found["n_points"]), f"{len(errors)} where it was measured")
    line("  disparity error, median", f"{np.median(errors):.2f} px")
    line("  off by more than 1 px", f"{(errors > 1).mean():.1%}")
    line("  turn, degrees off", f"{turn_error(found, 1, np.eye(3)):.2f}")
    line("  way, degrees off", f"{way_error(found, 1, np.array([1.0, 0, 0])):.2f}")
    line("  reprojection error", f"{found['reprojection_error']:.2f} px")


def show_rooms(count: int) -> None:
    turns, ways, placed = [], [], 0
    for seed in ROOMS:
        found = answer([png(view_of(seed, *place, 640)) for place in PLACES[:count]], fov=FOV)
        for view, (place, degrees) in enumerate(PLACES[:count]):
            if not view or not found["cameras"][view]["registered"]:
                continue
            placed += 1
            turns.append(turn_error(found, view, turn_of(degrees)))
            ways.append(way_error(found, view, np.array(place)))
    wanted = len(ROOMS) * (count - 1)
    line(f"{len(ROOMS)} rooms of {count} views, placed", f"{placed} of {wanted}")
    line("  turn, degrees off, mean and most", f"{np.mean(turns):.3f}", f"{max(turns):.3f}")
    line("  way, degrees off, mean and most", f"{np.mean(ways):.3f}", f"{max(ways):.3f}")


def answer(images: list[bytes], **options: Any) -> Row:
    """Return the answer for one row of views; raise what rejects it."""
    (found,) = Worker(Reconstruction3D(**options), ModelFiles.none()).answer([{"images": images}])
    if isinstance(found, Exception):
        raise found
    return found


def png(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def line(what: str, value: str, note: str = "") -> None:
    print(f"{what:<40} {value:>10}   {note}".rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".cache/quality"))
    given = parser.parse_args()
    begun = time.process_time()
    show_motorcycle(given.data)
    for count in (2, 5):
        show_rooms(count)
    line("CPU-seconds", f"{time.process_time() - begun:.1f}", "for all of the above")


if __name__ == "__main__":
    main()
