"""The same pipeline behind HTTP: its stages on Ray Serve, around the same worker as in a run."""

from typing import Any

from pipelines.serving.bounds import Bounds

__all__ = ["Bounds", "build"]


def __getattr__(name: str) -> Any:
    """`build`, which a Serve config names, imports Ray Serve only when it is asked for."""
    if name != "build":
        raise AttributeError(name)
    from pipelines.serving.deployments import build

    return build
