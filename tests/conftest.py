"""What all tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cache() -> Path:
    """The folder of prepared embedded models: one for all tests and all their runs."""
    return Path(os.environ.get("GRISTMILL_CACHE", "~/.cache/gristmill")).expanduser()
