"""What a model's config.json says it was made for; read at plan time, without torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast


def config_in(folder: Path) -> dict[str, Any]:
    """Return a model folder's config.json."""
    return cast(dict[str, Any], json.loads((folder / "config.json").read_text("utf-8")))


def architectures(config: Mapping[str, Any]) -> list[str]:
    """Return the names of the classes that the checkpoint was saved from."""
    return list(config.get("architectures") or [])


def is_made_for(config: Mapping[str, Any], *endings: str) -> bool:
    """Say whether an architecture of the checkpoint ends in one of `endings`."""
    return any(name.endswith(endings) for name in architectures(config))


def is_text_encoder(config: Mapping[str, Any]) -> bool:
    """Say whether the checkpoint turns tokens into vectors, with no head or only BERT's own."""
    encoder = is_made_for(config, "Model", "ForMaskedLM")
    writer = is_made_for(config, "LMHeadModel", "MTModel") or config.get("is_encoder_decoder")
    return encoder and not writer and "vocab_size" in config


def why_not(task: str, needed: str, config: Mapping[str, Any]) -> str:
    """Return the sentence that refuses a model: what the task needs, what there is."""
    names = ", ".join(architectures(config)) or "no architecture"
    family = config.get("model_type", "no model_type")
    return f"{task} needs {needed}, but the model's config.json names {names} ({family})"
