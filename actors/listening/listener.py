"""What all tasks on models of sound share: a feature extractor, and one forward.

Nothing here keeps state between calls, so `features` may run in several threads at once.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoFeatureExtractor

from actors.checkpoint import load_model
from actors.errors import RowRejected
from actors.listening.families import PADDING_IS_EXACT, RAW
from actors.scores import labels_of
from actors.sound import Samples
from actors.stage import Batching, Device, Item

# A filter bank's frame: 25 ms every 10 ms, in samples at 16 kHz, as Kaldi cuts them (AST).
FRAME, HOP = 400, 160


class Listener:
    """A model of sound with its feature extractor. `rate` is what it hears, in Hz."""

    def __init__(self, auto: Any, folder: Path, device: Device) -> None:
        self.model = load_model(auto, folder, device, optional="parametrizations")
        self.device = device
        self.extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
        self.rate = int(self.extractor.sampling_rate)
        self.config = self.model.config
        self.raw = self.config.model_type in RAW
        self.input_name = self.model.main_input_name

    @property
    def batching(self) -> Batching:
        """How recordings may share a batch; the budget is in samples, or in items of one size."""
        if not self.raw:
            return Batching("shape", rows=16 if self.device.name == "cpu" else 64, budget=1 << 30)
        by_layer = getattr(self.config, "feat_extract_norm", "") == "layer"
        exact = by_layer and self.masked and self.config.model_type in PADDING_IS_EXACT
        # A Wav2Vec2 of 15 M parameters, CPU-s for 60 recordings of 1 to 15 s with a budget of 20,
        # 10, 5, 1 s: 13.0, 11.5, 11.3, 11.9: larger activations leave the cache. Minutes on a GPU.
        budget = 5 * self.rate if self.device.name == "cpu" else 600 * self.rate
        return Batching("length" if exact else "shape", rows=32, budget=budget)

    @property
    def masked(self) -> bool:
        """Whether the model was trained to be told what is padding."""
        return bool(getattr(self.extractor, "return_attention_mask", False))

    @property
    def shortest(self) -> int:
        """Samples that the first frame takes: fewer cannot be heard."""
        if not self.raw:
            return FRAME if self.config.model_type == "audio-spectrogram-transformer" else 1
        length, hop = 1, 1
        for kernel, stride in zip(self.config.conv_kernel, self.config.conv_stride, strict=True):
            length, hop = length + (kernel - 1) * hop, hop * stride
        return length

    @property
    def longest(self) -> int | None:
        """Samples that the model hears at once: its extractor cuts what is longer. None: any."""
        if self.raw:
            return None
        if self.config.model_type == "audio-spectrogram-transformer":
            return int(self.extractor.max_length) * HOP
        # Whisper's name for it, and CLAP's.
        found = getattr(self.extractor, "n_samples", None) or self.extractor.nb_max_samples
        return int(found)

    @property
    def labels(self) -> list[str]:
        """The labels of a classifier, in the order of its outputs."""
        return labels_of(self.config)

    def features(self, samples: Samples, **settings: Any) -> Item:
        """Return what the model is given for one stretch of sound: (samples,) or (frames, size).

        Raises RowRejected (audio_too_short) for less than one frame.
        """
        if len(samples) < self.shortest:
            raise RowRejected(
                "audio_too_short",
                f"{len(samples)} samples at {self.rate} Hz; the model needs {self.shortest}",
            )
        made = self.extractor(samples, sampling_rate=self.rate, return_tensors="np", **settings)
        data = np.asarray(made[self.input_name][0], dtype=np.float32)
        return Item(data, cost=len(data) if self.raw else 1, shape=data.shape)

    def inputs(self, items: Sequence[Item]) -> Mapping[str, Any]:
        """Return the model's inputs on the device, padded on the right to the longest item."""
        name, arrays = self.input_name, [item.data for item in items]
        if not self.raw:
            return {name: self._tensor(np.stack(arrays)).to(self.model.dtype)}
        lengths = np.array([len(array) for array in arrays])
        mask = np.arange(lengths.max()) < lengths[:, None]
        values = np.zeros(mask.shape, np.float32)
        values[mask] = np.concatenate(arrays)
        given = {name: self._tensor(values).to(self.model.dtype)}
        return given | (
            {"attention_mask": self._tensor(mask.astype(np.int64))} if self.masked else {}
        )

    def forward(self, items: Sequence[Item]) -> Any:
        """Return the model's output object for a micro-batch."""
        with torch.inference_mode():
            return self.model(**self.inputs(items))

    def logits(self, items: Sequence[Item]) -> np.ndarray:
        """Return a classifier's outputs: float32, (items, labels)."""
        found: np.ndarray = self.forward(items).logits.float().cpu().numpy()
        return found

    def _tensor(self, array: Any) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device.name)
