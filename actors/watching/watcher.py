"""A model of videos, and how it is shown clips."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from actors.checkpoint import load_model
from actors.film import Film
from actors.stage import Batching, Device
from actors.watching.clips import Clip, moments
from actors.watching.families import frames_of
from actors.watching.preparation import Preparation

# Clips of a micro-batch. A clip of 16 frames is 1,568 tokens and fills a CPU alone: a small
# VideoMAE (192 wide, 6 layers) takes 0.158 CPU-s for a clip alone, 0.165 by two, 0.195 by eight.
CLIPS = {"cpu": 1}
CLIPS_GPU = 16


class Watcher:
    """A model of videos with the preparation that its folder states. Keeps no state between calls,
    so `clips` may run in several threads at once."""

    def __init__(self, auto: Any, folder: Path, device: Device) -> None:
        self.model = load_model(auto, folder, device)
        self.config = self.model.config
        self.device = device
        self.count = frames_of(self.config.to_dict())
        self.preparation = Preparation.of(folder, self.config.model_type)

    @property
    def batching(self) -> Batching:
        """Clips of one shape share a batch; they all are, unless a model resizes nothing."""
        rows = CLIPS.get(self.device.name, CLIPS_GPU)
        return Batching("shape", rows=rows, budget=1 << 62)

    def clips(self, film: Film, spans: Sequence[tuple[float, float]]) -> list[Clip]:
        """Decode stretches of a video, in seconds; a frame of several is decoded once.

        Raises RowRejected (damaged_video).
        """
        places = [film.at(moments(start, end, self.count)) for start, end in spans]
        wanted = {number for place in places for number in place}
        shown = {n: self.preparation.shown(frame) for n, frame in film.frames(wanted)}
        return [
            Clip(start, end, tuple(shown[number] for number in place))
            for (start, end), place in zip(spans, places, strict=True)
        ]

    def logits(self, clips: Sequence[Clip]) -> np.ndarray:
        """Return a classifier's outputs for clips of one shape: float32, (clips, labels)."""
        given = self._normalised(np.array([clip.frames for clip in clips]))
        with torch.inference_mode():
            made = self.model(**{self.model.main_input_name: given.to(self.model.dtype)})
        found: np.ndarray = made.logits.float().cpu().numpy()
        return found

    def _normalised(self, frames: np.ndarray) -> torch.Tensor:
        """Return bytes (clips, frames, 3, height, width) on the device, normalised, float32."""
        how, values = self.preparation, torch.from_numpy(frames).to(self.device.name)
        scaled = values.float() * how.factor - how.shift
        return (scaled - self._channels(how.mean)) / self._channels(how.std)

    def _channels(self, numbers: Sequence[float]) -> torch.Tensor:
        return torch.tensor(numbers, dtype=torch.float32, device=self.device.name).reshape(-1, 1, 1)
