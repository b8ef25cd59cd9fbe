"""Bark: three transformers that sample codes one after the other, and a codec of sound.

Sentences are said one by one, each with what it draws from its own seed: sampling takes one
stream of chance for a whole batch.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, BarkModel

from actors.checkpoint import load_model
from actors.errors import RowRejected
from actors.noise import drawn_from, seed_of
from actors.sound import Samples
from actors.stage import Batching, Device, Item, Row
from actors.voices.vits import Sentence


class Bark:
    """A Bark model with its tokenizer. `rate` is that of what it says, in Hz."""

    batching = Batching("fixed", rows=1)

    def __init__(self, folder: Path, device: Device, seed: int) -> None:
        exact = replace(device, precision="fp32")  # waveforms need more than bf16's 8 bits
        self.model = load_model(BarkModel, folder, exact)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.device, self.seed = device, seed
        self.rate = int(self.model.generation_config.sample_rate)
        self.longest = int(
            self.model.generation_config.semantic_config["max_input_semantic_length"]
        )

    def item(self, sentence: str, row: Row) -> Item | None:
        """Return a sentence as an item; None where there is nothing to say. Raises RowRejected for
        one of too many tokens (too_long)."""
        ids = np.array(self.tokenizer(sentence, add_special_tokens=False).input_ids, np.int64)
        if not any(sign.isalnum() for sign in self.tokenizer.decode(ids, skip_special_tokens=True)):
            return None
        if len(ids) > self.longest:
            raise RowRejected("too_long", f"a sentence has {len(ids)} tokens of {self.longest}")
        return Item(Sentence(ids, seed_of(self.seed, sentence)), cost=len(ids), shape=len(ids))

    def say(self, items: Sequence[Item]) -> list[Samples]:
        """Return the sound of each item."""
        return [self._say(item.data) for item in items]

    def _say(self, sentence: Sentence) -> Samples:
        """Say one sentence; the model wants it filled up under a mask, as in its training."""
        ids = np.full((1, self.longest), self.tokenizer.pad_token_id, np.int64)
        mask = np.arange(self.longest)[None] < len(sentence.ids)
        ids[mask] = sentence.ids
        given = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
        inputs = {name: torch.from_numpy(a).to(self.device.name) for name, a in given.items()}
        with torch.inference_mode(), drawn_from(sentence.seed, self.device):
            samples: Samples = self.model.generate(**inputs)[0].float().cpu().numpy()
        return samples
