"""What all tasks on models of sound share: a feature extractor, and one forward.

Nothing here keeps state between calls, so `features` may run in several threads at once.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoFeatureExtractor

from actors.encoder import load_model
from actors.errors import RowRejected, StageFailed
from actors.sound import Samples
from actors.stage import Batching, Device, Item

# Families that hear raw samples through convolutions. Where those are normalised layer by layer,
# padding under the mask is exact; group norm averages over the padding too (it moved probabilities
# by 0.2), so those only meet recordings of their own length. Any other family that is padded by
# its extractor to one size is "fixed"; what is not known is "shape".
RAW = frozenset({"data2vec-audio", "hubert", "sew", "sew-d", "unispeech", "unispeech-sat",
                 "wav2vec2", "wav2vec2-conformer", "wavlm"})  # fmt: skip


class Listener:
    """A model of sound with its feature extractor. `rate` is what it hears, in Hz."""

    def __init__(self, auto: Any, folder: Path, device: Device) -> None:
        self.model = load_model(auto, folder, device, optional="parametrizations")
        self.device = device
        self.extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
        self.rate = int(self.extractor.sampling_rate)
        self.config = self.model.config
        self.raw = self.config.model_type in RAW

    @property
    def batching(self) -> Batching:
        """How recordings may share a batch; the budget is in samples, or in items of one size."""
        if not self.raw:
            return Batching("shape", rows=16 if self.device.name == "cpu" else 64, budget=1 << 30)
        exact = getattr(self.config, "feat_extract_norm", "") == "layer" and self.masked
        # 20 s on a CPU, where larger activations leave the cache; minutes on a GPU.
        budget = 20 * self.rate if self.device.name == "cpu" else 600 * self.rate
        return Batching("length" if exact else "shape", rows=32, budget=budget)

    @property
    def masked(self) -> bool:
        """Whether the model was trained to be told what is padding."""
        return bool(getattr(self.extractor, "return_attention_mask", False))

    @property
    def shortest(self) -> int:
        """Samples that the first frame takes: fewer cannot be heard."""
        if not self.raw:
            return 1
        length, hop = 1, 1
        for kernel, stride in zip(self.config.conv_kernel, self.config.conv_stride, strict=True):
            length, hop = length + (kernel - 1) * hop, hop * stride
        return length

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
        data = np.asarray(made[self.model.main_input_name][0], dtype=np.float32)
        return Item(data, cost=len(data) if self.raw else 1, shape=data.shape)

    def inputs(self, items: Sequence[Item]) -> Mapping[str, Any]:
        """Return the model's inputs on the device, padded on the right to the longest item."""
        name, arrays = self.model.main_input_name, [item.data for item in items]
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

    def _tensor(self, array: Any) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device.name)


def labels_of(config: Any) -> list[str]:
    """Return a classifier's labels in the order of its outputs. Raises StageFailed without any."""
    if not config.id2label:
        raise StageFailed("the model's config.json names no labels (id2label)")
    return [config.id2label[number] for number in range(config.num_labels)]
