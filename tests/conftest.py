"""What tests share: tiny models, built once per session, and the cache of embedded ones."""

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from actors.stage import ModelFiles
from tests.world import World

# How long an example takes says how busy the machine is.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two processes share the tests: one all that need Ray, for one Ray at a time is what two
    cores bear; the other, file by file, the rest."""
    for item in items:
        group = "ray" if item.get_closest_marker("ray") else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


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


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One real Ray for all tests that run pipelines in this process."""
    import ray

    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init(
        num_cpus=4,
        include_dashboard=False,
        object_store_memory=200 * 2**20,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()


@pytest.fixture
def world(ray_session: None, tmp_path: Path) -> World:
    """A folder with a source, a pipeline and its output, run on the session's Ray."""
    return World(tmp_path)
