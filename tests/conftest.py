"""What tests share: tiny models, built once per session, and the cache of embedded ones."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.stage import ModelFiles


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ModelFiles]:
    """Build a tiny model by one of the builders in tests/tiny, or find it built.

    A builder fills the folder, and returns ModelFiles if there is more than one model in it.
    """

    @functools.cache
    def built(build: Callable[..., Any], **settings: Any) -> ModelFiles:
        folder: Path = tmp_path_factory.mktemp(build.__name__)
        files = build(folder, **settings)
        return files if isinstance(files, ModelFiles) else ModelFiles(folder)

    return built


@pytest.fixture(scope="session")
def cache() -> Path:
    """The folder of prepared embedded models: one for all tests and all their runs."""
    return Path(os.environ.get("GRISTMILL_CACHE", "~/.cache/gristmill")).expanduser()
