"""What a trained inspector of pictures says of itself in its config.json; read without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.architecture import config_in
from actors.errors import StageFailed, UsageError
from actors.seeing.backbones import family_of

FAMILY = "gristmill-anomaly"
"""The model_type of config.json."""

ARCHITECTURE = "AnomalyDetector"

FORMAT = 2
"""Raised when folders that were written before would be answered with differently."""

SIDE = 320
"""Pixels of the square that a picture is shown as. On crops of 160 pixels of bricks, gravel and
grass with small grey squares, EfficientNet-Lite0 told them from good ones with an AUC of 0.85 at
320 pixels and 0.61 at 224 (mean of the three); scratches hardly gained. That was by maps of every 8
and 16 pixels; by those that are used now (patches.STRIDES) 224 has not been compared."""

# Families whose positions were learned for one size only.
FIXED = frozenset({"beit", "clip_vision_model", "deit", "siglip_vision_model", "vit"})


@dataclass(frozen=True, slots=True)
class Inspection:
    """How pictures are shown, and the distance from which one is anomalous."""

    side: int
    threshold: float

    @classmethod
    def read(cls, folder: Path) -> "Inspection":
        """Read a folder's config.json. Raises StageFailed when it is of another kind."""
        try:
            config = config_in(folder)
            if config.get("format") != FORMAT:
                raise ValueError("another version wrote it; train it anew")
            return cls(int(config["side"]), float(config["threshold"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StageFailed(f"{folder} is no trained inspector of pictures: {error}") from error


def side_of(config: Mapping[str, Any], asked: int | None) -> int:
    """Return the side of the square that a backbone is shown, given its config.json.

    Raises UsageError for one that it cannot be shown.
    """
    made_for, patch = config.get("image_size"), config.get("patch_size") or 1
    if config.get("model_type") in FIXED and isinstance(made_for, int):
        if asked not in (None, made_for):
            raise UsageError(f"side: {asked}, but this model sees {made_for} pixels and no other.")
        return made_for
    family = family_of(config)
    if family is None or family.tokens is None:
        step = 16
    else:
        step = int(patch) if family.usual == "cls" else 32
    side = asked or SIDE // step * step
    if side % step:
        raise UsageError(f"side: {side} is no multiple of {step}, as this model needs.")
    return side
