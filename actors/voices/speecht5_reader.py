"""SpeechT5 that reads text."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from transformers import AutoTokenizer, SpeechT5ForTextToSpeech

from actors.errors import RowRejected
from actors.sound import Samples
from actors.stage import Device, Item, Row
from actors.voices.speaker import vector_of
from actors.voices.speecht5 import Heard, SpeechT5

FRAMES = 20.0
"""Mel frames (16 ms) for each token, at most: transformers' own limit."""


class SpeechT5Reader:
    """A SpeechT5 with its tokenizer. `speaker` is the option's vector, for rows without one."""

    def __init__(
        self,
        folders: tuple[Path, Path],
        device: Device,
        seed: int,
        speaker: tuple[float, ...] | None,
    ) -> None:
        self.model = SpeechT5(SpeechT5ForTextToSpeech, folders, device, seed, FRAMES)
        self.tokenizer = AutoTokenizer.from_pretrained(folders[0], local_files_only=True)
        self.speaker = speaker
        self.rate, self.batching = self.model.rate, self.model.batching
        self.longest = int(self.model.model.config.max_text_positions)

    def item(self, sentence: str, row: Row) -> Item | None:
        """Return a sentence as an item; None where there is nothing to say.

        Raises RowRejected for a speaker's vector that does not fit, and for a sentence that became
        too long when its numbers were written out (too_long).
        """
        ids = np.array(self.tokenizer(sentence).input_ids, np.int64)
        known = self.tokenizer.decode(ids, skip_special_tokens=True)
        if not any(sign.isalnum() for sign in known):
            return None
        if len(ids) > self.longest:
            raise RowRejected("too_long", f"a sentence has {len(ids)} tokens of {self.longest}")
        return Heard(ids, vector_of(row, self.speaker, self.model.speaker_size)).item()

    def say(self, items: Sequence[Item]) -> list[Samples]:
        """Return the sound of each item."""
        return self.model.say(items)
