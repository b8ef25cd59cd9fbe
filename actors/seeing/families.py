"""Families of models that compare pictures with texts, as config.json names them; read without
torch."""

from collections.abc import Mapping
from typing import Any

from actors.architecture import is_made_for

# Families with a vector for a picture and one for a text that can be compared. (SigLIP 2 models of
# a fixed size are of the family siglip; those of any size, NaFlex, are not supported.)
IN_ONE_SPACE = {"clip": "CLIPModel", "siglip": "SiglipModel"}

# Families that read picture and text together, and say how well they match.
MATCHERS = {
    "blip": "BlipForImageTextRetrieval",
    "vilt": "ViltForImageAndTextRetrieval",
}

COMPARERS = "a CLIPModel or a SiglipModel (CLIP, SigLIP, SigLIP 2 of a fixed size)"


def compares_pictures(config: Mapping[str, Any]) -> bool:
    """Say whether the checkpoint has a vector for a picture and one for a text."""
    return _is_one_of(config, IN_ONE_SPACE)


def matches_pictures(config: Mapping[str, Any]) -> bool:
    """Say whether the checkpoint reads picture and text together, and says how well they match."""
    return _is_one_of(config, MATCHERS)


def _is_one_of(config: Mapping[str, Any], families: Mapping[str, str]) -> bool:
    name = families.get(str(config.get("model_type")))
    return name is not None and is_made_for(config, name)
