"""Which language is spoken: what a Whisper model says before it writes the first word.

A model of many languages marks the language of a window with its second token, so one step of the
decoder tells how likely each of them is.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSpeechSeq2Seq

from actors.errors import StageFailed
from actors.listening.listener import Listener
from actors.stage import Device, Item


class LanguageListener(Listener):
    """A Whisper model that is asked for the language only; its labels are language codes."""

    def __init__(self, folder: Path, device: Device) -> None:
        super().__init__(AutoModelForSpeechSeq2Seq, folder, device)
        tokens = getattr(self.model.generation_config, "lang_to_id", None)
        if not tokens:
            raise StageFailed(
                f"{folder} names no languages (lang_to_id in generation_config.json): it hears"
                " one language only"
            )
        self.tokens = sorted(tokens.values())
        self.codes = {number: mark.strip("<|>") for mark, number in tokens.items()}

    @property
    def labels(self) -> list[str]:
        """Language codes, such as "en", in the order of the model's tokens."""
        return [self.codes[token] for token in self.tokens]

    def logits(self, items: Sequence[Item]) -> np.ndarray:
        """Return how much the decoder's first step wants each language: (items, languages)."""
        inputs = dict(self.inputs(items))
        start = self.model.generation_config.decoder_start_token_id
        shape, where = (len(items), 1), self.device.name
        inputs["decoder_input_ids"] = torch.full(shape, start, dtype=torch.long, device=where)
        with torch.inference_mode():
            logits: Any = self.model(**inputs, use_cache=False).logits[:, -1]
        found: np.ndarray = logits[:, self.tokens].float().cpu().numpy()
        return found
