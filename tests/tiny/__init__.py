"""Tiny random models, one per task, built from a config in a second and saved like real ones.

A new task adds its line to CASES of a module here, and the contract test then covers it.
"""

import importlib
import pkgutil

from tests.tiny.case import Case

TINY: dict[str, Case] = {
    task: case
    for module in pkgutil.iter_modules(__path__, f"{__name__}.")
    for task, case in getattr(importlib.import_module(module.name), "CASES", {}).items()
}
