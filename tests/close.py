"""Comparing whole results whose numbers may differ by rounding."""

import io
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from PIL import Image

from actors import sound

SOUND = (b"RIFF", b"fLaC")
"""How the files of sound begin that tasks write."""

PNG = b"\x89PNG"
"""How pictures begin that keep every level: a number that is rounded may take a level's neighbour.
"""
NPY = b"\x93NUMPY"
"""How an array of NumPy's begins as a file."""

EDGES = {"xmin", "ymin", "xmax", "ymax"}
"""What a box has, in pixels."""

STEP = 1 / 32768
"""One step of 16 bits: rounding may take a sample to either side."""


def assert_close(found: Any, expected: Any, tolerance: float, where: str = "answer") -> None:
    """Fail at the first place where two nested values differ by more than `tolerance`, or by more
    than that share of themselves."""
    if isinstance(expected, Mapping):
        assert found.keys() == expected.keys(), f"{where}: {list(found)} for {list(expected)}"
        if expected.keys() == EDGES:  # of one scale: the largest stands for all
            bound = tolerance * max(1.0, *expected.values())
            apart = max(abs(found[name] - expected[name]) for name in EDGES)
            assert apart <= bound, f"{where}: {found} for {expected}"
            return
        for name in expected:
            assert_close(found[name], expected[name], tolerance, f"{where}.{name}")
    elif isinstance(expected, (list, tuple, np.ndarray)):
        assert len(found) == len(expected), f"{where}: {len(found)} values for {len(expected)}"
        for number, pair in enumerate(zip(found, expected, strict=True)):
            assert_close(*pair, tolerance, f"{where}[{number}]")
    elif isinstance(expected, Real) and not isinstance(expected, (bool, int)):
        # Of numbers above 1, such as places in pixels, it is a share: floats have 7 digits.
        bound = tolerance * max(1.0, abs(expected))
        assert abs(found - expected) <= bound, f"{where}: {found} for {expected}"
    elif isinstance(expected, bytes) and expected.startswith(SOUND) and found != expected:
        samples = [sound.decode(data) for data in (found, expected)]
        assert samples[0][1] == samples[1][1], f"{where}: {samples[0][1]} for {samples[1][1]}"
        apart = np.abs(samples[0][0] - samples[1][0]).max()
        assert apart <= tolerance + STEP, f"{where}: samples differ by {apart}"
    elif isinstance(expected, bytes) and expected.startswith(PNG) and found != expected:
        first, second = (Image.open(io.BytesIO(data)) for data in (found, expected))
        assert (first.size, first.mode) == (second.size, second.mode), f"{where}: {first}, {second}"
        levels = np.abs(np.asarray(first).astype(int) - np.asarray(second).astype(int)).max()
        assert levels <= 1, f"{where}: pictures differ by {levels} levels"
    elif isinstance(expected, bytes) and expected.startswith(NPY) and found != expected:
        arrays = [np.load(io.BytesIO(data), allow_pickle=False) for data in (found, expected)]
        np.testing.assert_allclose(*arrays, rtol=tolerance, atol=tolerance, err_msg=where)
    else:
        assert found == expected, f"{where}: {found!r} for {expected!r}"


def assert_same_things(found: Any, expected: Any, side: float = 150) -> None:
    """Compare detections: scores to 1e-5, places to 1e-5 of a picture's longest side in pixels."""
    plain = [[{k: v for k, v in one.items() if k != "box"} for one in x] for x in (found, expected)]
    assert_close(*plain, 1e-5)
    for one, other in zip(found, expected, strict=True):
        for name in other["box"]:
            assert abs(one["box"][name] - other["box"][name]) <= 1e-5 * side, (one, other)
