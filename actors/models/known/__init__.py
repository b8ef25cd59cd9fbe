"""The embedded models there are: each module's MODELS, in the order of the modules' names."""

import importlib
import pkgutil

from actors.models.entry import Embedded

MODELS: tuple[Embedded, ...] = tuple(
    model
    for module in sorted(found.name for found in pkgutil.iter_modules(__path__, f"{__name__}."))
    for model in importlib.import_module(module).MODELS
)
