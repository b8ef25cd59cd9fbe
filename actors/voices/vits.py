"""VITS voices: of letters (MMS), of phonemes (VITS proper, Piper).

What a sentence draws comes from its own seed, and each is said alone: the vocoder would hear a
neighbour's padding, and takes most of the time.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoTokenizer, VitsModel, VitsTokenizer

from actors.checkpoint import load_model
from actors.errors import StageFailed
from actors.noise import drawn_from, seed_of
from actors.sound import Samples
from actors.stage import Batching, Device, Item, Row
from actors.voices.espeak import espeak
from actors.voices.piper import PhonemeReader, PiperVoice


@dataclass(frozen=True, slots=True)
class Sentence:
    """Ids of letters or phonemes, int64 (tokens,), and the seed of what is drawn."""

    ids: np.ndarray
    seed: int

    @property
    def nbytes(self) -> int:
        """Bytes of memory, for the worker's bound on what waits."""
        return int(self.ids.nbytes)


class Vits:
    """A VITS model with its reader. `rate` is that of what it says, in Hz.

    seed        what the seeds of sentences come from.
    speaker     the number of the voice, where the model has several.
    speed       how much faster than the model's own pace.
    """

    batching = Batching("fixed", rows=1)

    def __init__(
        self, folder: Path, device: Device, seed: int = 0, speaker: int = 0, speed: float = 1.0
    ) -> None:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        piper = "PiperVoice" in (config.architectures or [])
        exact = replace(device, precision="fp32")  # waveforms need more than bf16's 8 bits
        kind = PiperVoice if piper else VitsModel
        self.model = load_model(kind, folder, exact)
        self.device, self.seed, self.rate = device, seed, int(config.sampling_rate)
        self.speaker = speaker if config.num_speakers > 1 else None
        self.pace = config.speaking_rate * speed
        self.read = PhonemeReader(folder, config.espeak_language) if piper else LetterReader(folder)

    def item(self, sentence: str, row: Row) -> Item | None:
        """Return a sentence as an item; None where there is nothing to say."""
        ids = self.read(sentence)
        if not len(ids):
            return None
        return Item(Sentence(ids, seed_of(self.seed, sentence)), cost=len(ids), shape=len(ids))

    def say(self, items: Sequence[Item]) -> list[Samples]:
        """Return what is said for each item."""
        return [self._say(item.data) for item in items]

    def _say(self, sentence: Sentence) -> Samples:
        ids = torch.from_numpy(sentence.ids)[None].to(self.device.name)
        with torch.inference_mode(), drawn_from(sentence.seed, self.device):
            said = self.model(ids, speaker_id=self.speaker, speaking_rate=self.pace)
        samples: Samples = said.waveform[0, : int(said.sequence_lengths[0])].cpu().numpy()
        return samples


class LetterReader:
    """Turns a sentence into ids with transformers' tokenizer; phonemes, where it wants them, come
    from our own espeak-ng instead of the package `phonemizer`."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: VitsTokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if self.tokenizer.is_uroman and importlib.util.find_spec("uroman") is None:
            raise StageFailed(f"{folder} reads romanized text:  pip install uroman")
        self.phonemize, self.tokenizer.phonemize = self.tokenizer.phonemize, False
        if self.phonemize:
            espeak()  # fails here, not at the first row, where it is not installed

    def __call__(self, sentence: str) -> np.ndarray:
        """Return ids, int64 (tokens,); none where there is nothing to say. Signs that the voice
        does not know are left out, as in transformers."""
        text = sentence
        if self.phonemize:
            # The language that transformers asks for, whatever the model.
            text = espeak().phonemes(self.tokenizer.normalize_text(sentence), "en-us")
        known = "".join(sign for sign in self._normal(text) if sign in self.tokenizer.encoder)
        if not any(sign.isalnum() for sign in known):
            return np.zeros(0, np.int64)
        return np.array(self.tokenizer.convert_tokens_to_ids(self.tokenizer._tokenize(known)))

    def _normal(self, text: str) -> str:
        """Return the text as the tokenizer wants it, phonemes as they are."""
        if self.phonemize:
            return text
        found: str = self.tokenizer.prepare_for_tokenization(text)[0]
        return found
