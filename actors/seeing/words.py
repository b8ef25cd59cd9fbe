"""Texts for models that look at pictures: token ids, as many as the model reads."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

from actors.stage import Device

# Texts whose padded length is the same share a batch. Padding under a mask (BLIP, ViLT) or behind
# a causal model's last token (CLIP) changes nothing; 16 leaves five lengths of CLIP's 77.
STEP = 16
# What a token costs in the unit of pictures, pixels: as much as one patch of a picture does.
TOKEN = 16 * 16


@dataclass(frozen=True, slots=True)
class Words:
    """A text as a model reads it: padded ids (int64), how many of them are the text's own, and
    whether the text was cut."""

    ids: np.ndarray
    count: int
    cut: bool

    @property
    def nbytes(self) -> int:
        """Bytes of memory, for the worker's bound on what waits."""
        return int(self.ids.nbytes)


class WordReader:
    """The tokenizer of a model that looks at pictures.

    length   most tokens that the model reads.
    fixed    every text is padded to `length`: so SigLIP was trained, and answers only so.
    """

    def __init__(self, folder: Path, device: Device, length: int, fixed: bool = False) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.length: int = min(length, self.tokenizer.model_max_length)
        self.fixed = fixed
        self.device = device
        # A tokenizer that cuts is not safe in threads.
        self._alone = threading.Lock()

    def read(self, texts: Sequence[str]) -> list[Words]:
        """Return the beginning of each text that the model reads."""
        if not texts:
            return []
        with self._alone:
            found = self._ids(texts, truncation=True, max_length=self.length)
            full = [text for text, ids in zip(texts, found, strict=True) if self._is_full(ids)]
            # Only texts that fill the window are asked whether more would have come.
            whole = iter(self._ids(full) if full else [])
        return [
            self._padded(ids, cut=self._is_full(ids) and len(next(whole)) > self.length)
            for ids in found
        ]

    def _ids(self, texts: Sequence[str], **settings: Any) -> list[list[int]]:
        found: list[list[int]] = self.tokenizer(list(texts), verbose=False, **settings)["input_ids"]
        return found

    def _is_full(self, ids: Sequence[int]) -> bool:
        return len(ids) >= self.length

    def _padded(self, ids: list[int], cut: bool) -> Words:
        step = self.length if self.fixed else STEP
        length = min(-(-len(ids) // step) * step, self.length)
        padded = np.full(max(length, 1), self.tokenizer.pad_token_id or 0, np.int64)
        padded[self._own(len(padded), len(ids))] = ids
        return Words(padded, len(ids), cut)

    def _own(self, length: int, count: int) -> slice:
        """Return where a text's own tokens stand: SigLIP's tokenizers differ in that."""
        left = self.tokenizer.padding_side == "left"
        return slice(length - count, length) if left else slice(0, count)

    def inputs(self, texts: Sequence[Words]) -> Mapping[str, torch.Tensor]:
        """Return texts of one padded length as the model's inputs: (texts, length), those that its
        tokenizer would give."""
        ids = np.stack([words.ids for words in texts])
        mask = np.zeros_like(ids)
        for row, words in zip(mask, texts, strict=True):
            row[self._own(len(row), words.count)] = 1
        arrays = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        names = self.tokenizer.model_input_names
        return {
            name: torch.from_numpy(array).to(self.device.name)
            for name, array in arrays.items()
            if name in names
        }
