"""What all tests share."""

import os
from collections.abc import Callable
from functools import cache as remembered
from pathlib import Path
from typing import Any

import pytest

from actors.stage import ModelFiles


@pytest.fixture(scope="session")
def cache() -> Path:
    """The folder of prepared embedded models: one for all tests and all their runs."""
    return Path(os.environ.get("GRISTMILL_CACHE", "~/.cache/gristmill")).expanduser()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ModelFiles]:
    """Build a tiny model by one of the builders in tests/tiny, or find it built."""

    @remembered
    def built(build: Callable[..., Any], **settings: Any) -> ModelFiles:
        folder: Path = tmp_path_factory.mktemp(build.__name__)
        build(folder, **settings)
        return ModelFiles(folder)

    return built
