"""What the outputs of a model mean that says whether one text follows from another."""

from collections.abc import Mapping
from typing import Any

KINDS = {"entailment": "entail", "neutral": "neutral", "contradiction": "contradict"}
"""A kind of answer -> how labels of that kind begin, in whatever case."""


def kinds_of(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the kinds that a config.json's labels (id2label) name -> the number of its output.

    Labels such as "not_entailment" are of no kind.
    """
    labels = {int(number): str(label) for number, label in (config.get("id2label") or {}).items()}
    return {
        kind: number
        for number, label in sorted(labels.items(), reverse=True)
        for kind, start in KINDS.items()
        if label.strip().lower().startswith(start)
    }


def labels_of(config: Mapping[str, Any]) -> str:
    """Return the labels of a config.json in words."""
    return ", ".join(str(label) for label in (config.get("id2label") or {}).values()) or "none"
