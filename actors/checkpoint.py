"""Weights of models that transformers has no class for, read from safetensors into our own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from actors.errors import StageFailed

# Parameters of an encoder that say nothing of single tokens, so checkpoints may lack them.
NEEDLESS = ("pooler.", "position_ids")


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a folder's model.safetensors, by name."""
    path = folder / "model.safetensors"
    if not path.is_file():
        raise StageFailed(f"{folder} has no model.safetensors")
    return load_file(path)


def below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose name begins so, by the rest of the name."""
    return {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}


def fill(part: Any, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Load weights into a module; raise StageFailed where some are missing or do not fit."""
    try:
        found = part.load_state_dict(weights, strict=False).missing_keys
    except RuntimeError as error:
        raise StageFailed(f"{folder}: weights do not fit the configuration: {error}") from error
    missing = [name for name in found if not any(word in name for word in NEEDLESS)]
    if missing:
        raise StageFailed(
            f"{folder} has no weights for {', '.join(missing[:3])}: the checkpoint is not of the"
            f" kind that its configuration says"
        )
