"""What tests share: tiny models, built once per session."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from actors.stage import ModelFiles


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ModelFiles]:
    """Build a tiny model by one of the builders in tests/tiny, or find it built."""

    @cache
    def built(build: Callable[..., Any], **settings: Any) -> ModelFiles:
        folder: Path = tmp_path_factory.mktemp(build.__name__)
        files = build(folder, **settings)
        return files if isinstance(files, ModelFiles) else ModelFiles(folder)

    return built
