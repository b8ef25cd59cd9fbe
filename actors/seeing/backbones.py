"""Families of models that describe a picture in numbers, as config.json names them; read without
torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from actors.architecture import why_not
from actors.seeing.families import compares_pictures

Pooling = Literal["cls", "mean", "pooler"]
"""Where the vector of a whole picture comes from: the first token, the mean of all places, or what
the model itself calls its pooled output."""


@dataclass(frozen=True, slots=True)
class Family:
    """What models of a family put out.

    usual   what stands for a whole picture unless something else is asked for.
    tokens  how many tokens stand before those of the patches; None where the output is a map.
    cls     whether the first token stands for the whole picture.
    """

    usual: Pooling
    tokens: int | None = None
    cls: bool = False


_TOKEN = Family("cls", tokens=1, cls=True)
_PATCHES = Family("pooler", tokens=0)
_MAP = Family("pooler")

FAMILIES: Mapping[str, Family] = {
    "beit": Family("pooler", tokens=1, cls=True),
    "clip_vision_model": Family("pooler", tokens=1, cls=True),
    "convnext": _MAP,
    "convnextv2": _MAP,
    "deit": Family("cls", tokens=2, cls=True),
    "dinov2": _TOKEN,
    "dinov2_with_registers": _TOKEN,
    "efficientnet": _MAP,
    "mobilenet_v2": _MAP,
    "regnet": _MAP,
    "resnet": _MAP,
    "siglip_vision_model": _PATCHES,
    "swin": _PATCHES,
    "swinv2": _PATCHES,
    "vit": _TOKEN,
}
"""Each is compared with transformers in tests/test_image_features.py."""


def family_of(config: Mapping[str, Any]) -> Family | None:
    """Return the family of a checkpoint, or None for one that is not known."""
    return FAMILIES.get(str(config.get("model_type")))


def leading(config: Mapping[str, Any], family: Family) -> int:
    """Return how many tokens stand before those of the patches."""
    return (family.tokens or 0) + int(config.get("num_register_tokens") or 0)


def why_no_vector(task: str, config: Mapping[str, Any], pooling: str = "auto") -> str | None:
    """Say why a checkpoint gives no vector of a picture, pooled in this way, or None."""
    family = family_of(config)
    if compares_pictures(config):
        if pooling == "auto":
            return None
        return f"{task}: CLIP and SigLIP have one vector for a picture; leave pooling at auto"
    if family is None:
        known = ", ".join(FAMILIES)
        return why_not(task, f"a model of pictures (clip, siglip, {known})", config)
    if pooling == "cls" and not family.cls:
        return f"{task}: {config['model_type']} has no first token to take; pooling: mean or auto"
    return None


def why_no_patches(task: str, config: Mapping[str, Any]) -> str | None:
    """Say why a checkpoint does not describe each place of a picture, or None."""
    if family_of(config) is not None:
        return None
    return why_not(task, f"a model of pictures ({', '.join(FAMILIES)})", config)
