"""Models that spell speech frame by frame (wav2vec 2.0, HuBERT and their kin).

A long recording is heard in windows that overlap. Of each only the middle is kept, frame by frame,
so that what is joined is one row of frames as of one window: nothing is lost, nothing said twice,
and a cut may fall in the middle of a word.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCTC, AutoTokenizer

from actors.audio_stage import AudioStage
from actors.errors import StageFailed
from actors.hearing.transcript import Spoken, columns, sentences
from actors.hearing.windows import Span, spans_with_overlap
from actors.listening.listener import Listener
from actors.stage import Device, Item, Model, Row


@dataclass(frozen=True, slots=True)
class Stretch:
    """A window on its way to the model: its samples, normalised as the model wants them, and
    where it lies in the recording."""

    samples: NDArray[np.float32]
    span: Span

    @property
    def nbytes(self) -> int:
        """Bytes of memory, for the worker's bound on what waits."""
        return int(self.samples.nbytes)


class Speller(Model):
    """A loaded model with a head for connectionist temporal classification."""

    def __init__(
        self,
        stage: AudioStage,
        folder: Path,
        device: Device,
        timestamps: str,
        window: float,
        overlap: float,
    ) -> None:
        self._stage = stage
        self._times = timestamps
        self._listener = Listener(AutoModelForCTC, folder, device)
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if not hasattr(self._tokenizer, "word_delimiter_token"):
            raise StageFailed(f"the tokenizer in {folder} is not one that spells (Wav2Vec2CTC)")
        self.batching = self._listener.batching
        self._hop = int(self._listener.config.inputs_to_logits_ratio)
        self._window, self._overlap = self._samples(window), self._samples(overlap)

    def _samples(self, seconds: float) -> int:
        """Whole frames, so that those of two windows stand in one row."""
        return round(seconds * self._listener.rate / self._hop) * self._hop

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per window."""
        return [self._items(row) for row in rows]

    def _items(self, row: Row) -> list[Item]:
        samples = self._stage.samples(row, self._listener.rate)
        spans = spans_with_overlap(len(samples), self._window, self._overlap)
        return [self._item(samples[span.start : span.end], span) for span in spans]

    def _item(self, samples: NDArray[np.float32], span: Span) -> Item:
        item = self._listener.features(samples)
        return Item(Stretch(item.data, span), item.cost, item.shape)

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per window: the likeliest letter of each frame that it keeps."""
        whole = [Item(item.data.samples, item.cost, item.shape) for item in items]
        letters = self._listener.forward(whole).logits.argmax(-1).cpu().numpy()
        return [self._kept(row, item.data) for row, item in zip(letters, items, strict=True)]

    def _kept(self, letters: NDArray[np.int64], stretch: Stretch) -> NDArray[np.int64]:
        """Drop the frames of padding, and those that a neighbour hears better."""
        length, span = len(stretch.samples), stretch.span
        frames = int(self._listener.model._get_feat_extract_output_lengths(torch.tensor(length)))
        last = (length - span.right) // self._hop if span.right else frames
        return letters[span.left // self._hop : last]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Spell the joined frames."""
        found = self._tokenizer.decode(np.concatenate(outputs), output_word_offsets=True)
        words = [self._word(offset) for offset in found.word_offsets]
        return columns(
            found.text,
            None,
            None if self._times == "none" else sentences(words),
            words if self._times == "word" else None,
        )

    def _word(self, offset: dict[str, Any]) -> Spoken:
        step = self._hop / self._listener.rate
        start, end = (float(offset[f"{side}_offset"] * step) for side in ("start", "end"))
        return Spoken(f" {offset['word']}", start, end)
