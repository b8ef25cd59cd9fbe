"""Comparing whole results whose numbers may differ by rounding."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np


def assert_close(found: Any, expected: Any, tolerance: float, where: str = "answer") -> None:
    """Fail at the first place where two nested values differ by more than `tolerance`."""
    if isinstance(expected, Mapping):
        assert found.keys() == expected.keys(), f"{where}: {list(found)} for {list(expected)}"
        for name in expected:
            assert_close(found[name], expected[name], tolerance, f"{where}.{name}")
    elif isinstance(expected, (list, tuple, np.ndarray)):
        assert len(found) == len(expected), f"{where}: {len(found)} values for {len(expected)}"
        for number, pair in enumerate(zip(found, expected, strict=True)):
            assert_close(*pair, tolerance, f"{where}[{number}]")
    elif isinstance(expected, Real) and not isinstance(expected, (bool, int)):
        assert abs(found - expected) <= tolerance, f"{where}: {found} for {expected}"
    else:
        assert found == expected, f"{where}: {found!r} for {expected!r}"
