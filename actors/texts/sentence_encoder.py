"""Sentence vectors: a text model, and how its token vectors become one vector."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from actors.checkpoint import load_model
from actors.errors import StageFailed
from actors.stage import Batching, Device, Item
from actors.texts.encoder import Encoder


class SentenceEncoder:
    """Turns texts into vectors of one size, as sentence-transformers would.

    pooling    "mean" over the tokens, "cls" (the first token), or "auto": what the model's folder
               says (1_Pooling/config.json), else mean.
    normalize  vectors of length 1.
    """

    def __init__(
        self,
        folder: Path,
        device: Device,
        pooling: str = "auto",
        normalize: bool = True,
        max_length: int | None = None,
    ) -> None:
        model = load_model(AutoModel, folder, device, optional="pooler")
        length = max_length or _trained_length(folder)
        self.encoder = Encoder(model, folder, device, max_length=length)
        self.pooling = stated_pooling(folder) if pooling == "auto" else pooling
        self.normalize = normalize

    @property
    def batching(self) -> Batching:
        """How texts may share a batch."""
        return self.encoder.batching

    def vectors(self, items: Sequence[Item]) -> np.ndarray:
        """Return one vector per item: float32, (items, size)."""
        inputs = self.encoder.inputs(items)
        with torch.inference_mode():
            hidden = self.encoder.model(**inputs).last_hidden_state.float()
            pooled = _pool(hidden, inputs["attention_mask"], self.pooling)
            if self.normalize:
                pooled = torch.nn.functional.normalize(pooled, dim=-1)
        found: np.ndarray = pooled.cpu().numpy()
        return found


def _pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Return (items, size) from hidden (items, tokens, size) and mask (items, tokens)."""
    if pooling == "cls":
        return hidden[:, 0]
    weights = mask[..., None].to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)


def stated_pooling(folder: Path) -> str:
    """Return the pooling that the folder states, or "mean"; raise StageFailed for another one."""
    modes = [name for name, on in _read(folder / "1_Pooling" / "config.json").items() if on is True]
    chosen = [mode.removeprefix("pooling_mode_") for mode in modes if "pooling_mode_" in mode]
    known = {"mean_tokens": "mean", "cls_token": "cls"}
    if not chosen:
        return "mean"
    if len(chosen) > 1 or chosen[0] not in known:
        raise StageFailed(
            f"{folder} pools by {', '.join(chosen)}; known are {', '.join(known)}:"
            " set pooling to 'mean' or 'cls' to use one of them all the same"
        )
    return known[chosen[0]]


def _trained_length(folder: Path) -> int | None:
    length = _read(folder / "sentence_bert_config.json").get("max_seq_length")
    return length if isinstance(length, int) else None


def _read(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    content: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    return content
