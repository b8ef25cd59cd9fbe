"""CLAP: vectors of sounds and of texts that can be compared."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from actors.errors import StageFailed
from actors.listening.listener import Listener
from actors.stage import Device, Item

TEXTS = 64
"""Sentences turned into vectors at once."""


class ClapListener(Listener):
    """A CLAP model that compares sounds with sentences; the sentences' vectors are made once.

    Its extractor cuts a longer recording at a random place, or mixes random pieces of it: give it
    no more than `longest` samples, and it does neither.
    """

    def __init__(self, folder: Path, device: Device, sentences: Sequence[str]) -> None:
        super().__init__(AutoModel, folder, device)
        self.input_name = "input_features"
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        parts = [sentences[n : n + TEXTS] for n in range(0, len(sentences), TEXTS)]
        with torch.inference_mode():
            self.texts = torch.cat([self._vectors(part) for part in parts])
            self.scale = self.model.logit_scale_a.exp()

    def _vectors(self, sentences: Sequence[str]) -> torch.Tensor:
        """Return unit vectors: (sentences, size)."""
        tokens = self.tokenizer(list(sentences), padding=True, return_tensors="pt")
        length, most = tokens.input_ids.shape[1], self.tokenizer.model_max_length
        if length > most:
            raise StageFailed(f"a label's sentence has {length} tokens, the model takes {most}")
        found: torch.Tensor = self.model.get_text_features(
            **tokens.to(self.device.name)
        ).pooler_output
        return found

    def inputs(self, items: Sequence[Item]) -> Mapping[str, Any]:
        """Return the model's inputs. `is_longer` turns fusion on, as for a recording alone."""
        longer = torch.ones(len(items), 1, dtype=torch.bool, device=self.device.name)
        return {**super().inputs(items), "is_longer": longer}

    def logits(self, items: Sequence[Item]) -> np.ndarray:
        """Return how well each sentence fits each sound: float32, (items, sentences)."""
        with torch.inference_mode():
            sounds = self.model.get_audio_features(**self.inputs(items)).pooler_output
            logits = sounds @ self.texts.T * self.scale
        found: np.ndarray = logits.float().cpu().numpy()
        return found
