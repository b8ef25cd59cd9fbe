"""From a folder on disk to a model in memory: transformers' classes, or weights into our own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers.utils import logging

from actors.errors import StageFailed
from actors.stage import Device

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

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


def load_model(auto: Any, folder: Path, device: Device, optional: str | None = None) -> Any:
    """Load `auto`'s model from `folder` (safetensors only), ready to infer
    with `device.threads`.

    Raise StageFailed when weights are missing (they would be random), save those whose name holds
    `optional`.
    """
    torch.set_num_threads(device.threads)
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what it would report is checked below, or does not matter
    try:
        model, found = auto.from_pretrained(
            folder,
            dtype=DTYPES[device.precision],
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except ValueError as error:  # a model of another kind
        reason = str(error).partition("\n")[0]
        raise StageFailed(f"{folder} does not open as {auto.__name__}: {reason}") from error
    missing = sorted(n for n in found["missing_keys"] if optional is None or optional not in n)
    if missing:
        raise StageFailed(
            f"{folder} has no weights for {', '.join(missing[:3])}: the checkpoint was not trained"
            f" as {type(model).__name__}; name a model that was"
        )
    return model.eval().to(device.name)
