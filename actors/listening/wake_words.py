"""Wake words as openWakeWord hears them: spectrogram -> speech embeddings -> a head per word.

The original runs every 80 ms on what came last. Nothing in it looks ahead, and no step depends on
where the stream began, so here a whole recording goes through at once and every score is the same:
the embedding network moves over the spectrogram as the convolution that it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from actors.architecture import config_in
from actors.sound import Samples
from actors.stage import Batching, Device, Item

RATE = 16_000
"""Hz, of what is heard."""

STEP = 1_280
"""Samples between scores: 80 ms."""

FRAME, HOP, BINS, MELS = 512, 160, 257, 32
"""The spectrogram: samples of a frame, samples between frames, frequencies, bands of them."""

FRAMES_A_STEP = STEP // HOP
"""Eight; the volume is limited over these together."""

EMBEDDING, EMBEDDINGS = 96, 16
"""Numbers of a speech embedding; embeddings that a head sees."""

OVERHANG = 480
"""Samples of a step's last frames that reach beyond it, as the original cuts them."""

STEPS_BEFORE = 24
"""Steps of sound before the first score: a score hears 196 frames, 1.98 s."""

HEARD = (EMBEDDINGS * FRAMES_A_STEP + 76 - FRAMES_A_STEP - 1) * HOP + FRAME
"""Samples that one score hears: 16 embeddings of 76 frames, eight frames apart."""

STEPS_AFTER = 12
"""Steps of silence put behind a recording: scores rise up to a second after the word ended. Of 80
words that end with their recording 35 are found without, 53 with three steps, 61 with nine, 62 with
twelve."""

STRETCH = 375
"""Scores of one item: 30 s of a recording, whose activations take 40 MB."""

NEAR = 0.5
"""Seconds between scores of one word that are one hit: no word is said again so soon."""

FULL_SCALE = 32_768.0
"""The networks were trained on 16-bit integers."""

LOUDEST_TO_FAINTEST = 80.0
"""Decibels below the loudest band of a step that are still told apart."""

STAGES = ((24, 1, (2, 2)), (48, 2, (1, 2)), (72, 2, (2, 2)), (96, 2, (1, 2)), (96, 2, (2, 2)))
"""The embedding network: channels, pairs of convolutions (over bands, over time), pooling."""


class Spectrogram(nn.Module):
    """Log-mel bands: (rows, samples) -> (rows, frames, 32), as the embedding network wants them."""

    def __init__(self) -> None:
        super().__init__()
        self.waves = nn.Parameter(torch.zeros(2 * BINS, FRAME))
        self.bands = nn.Parameter(torch.zeros(BINS, MELS))

    def forward(self, samples: Tensor) -> Tensor:
        """Samples are (rows, 1280 x steps + 480), full scale 32,768."""
        parts = functional.linear(samples.unfold(-1, FRAME, HOP), self.waves)
        power = parts[..., :BINS].square() + parts[..., BINS:].square()
        decibels = 10 * torch.log10((power @ self.bands).clamp(min=1e-10))
        steps = decibels.reshape(len(samples), -1, FRAMES_A_STEP, MELS)
        floor = steps.amax((2, 3), keepdim=True) - LOUDEST_TO_FAINTEST
        return torch.maximum(steps, floor).flatten(1, 2) / 10 + 2


class Embedder(nn.Module):
    """Google's speech embedding: (rows, frames, 32) -> (rows, embeddings, 96)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, 24, 3, padding=(0, 1)), Bounded()]
        width = 24
        for channels, pairs, pool in STAGES:
            for _ in range(pairs):
                layers += [nn.Conv2d(width, channels, (1, 3), padding=(0, 1)), Bounded()]
                layers += [nn.Conv2d(channels, channels, (3, 1)), Bounded()]
                width = channels
            layers.append(nn.MaxPool2d(pool))
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, EMBEDDING, (3, 1)))

    def forward(self, bands: Tensor) -> Tensor:
        """One embedding per 76 frames, eight frames apart."""
        found: Tensor = self.layers(bands[:, None])
        return found[..., 0].transpose(1, 2)


class Bounded(nn.Module):
    """A leaky ReLU that never falls below -0.4."""

    def forward(self, values: Tensor) -> Tensor:
        """Any shape."""
        return functional.leaky_relu(values, 0.2).clamp(min=-0.4)


class Head(nn.Module):
    """One word: (..., 1536) -> its score, (...)."""

    def __init__(self, width: int, normed: bool) -> None:
        super().__init__()
        norm = nn.LayerNorm if normed else lambda _: nn.Identity()
        self.layers = nn.Sequential(
            *(nn.Linear(EMBEDDINGS * EMBEDDING, width), norm(width), nn.ReLU()),
            *(nn.Linear(width, width), norm(width), nn.ReLU()),
            nn.Linear(width, 1),
        )

    def forward(self, heard: Tensor) -> Tensor:
        """Sixteen embeddings, one after the other."""
        found: Tensor = self.layers(heard)
        return found.sigmoid()[..., 0]


class WakeWords(nn.Module):
    """All of it. `heads` are of the words, in order; `verifiers` hear again, by the word's number,
    what its head scored 0.5 or more."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.words = [word["word"] for word in config["words"]]
        self.spectrogram = Spectrogram()
        self.embedder = Embedder()
        self.heads = nn.ModuleList(Head(w["width"], w["normed"]) for w in config["words"])
        self.verifiers = nn.ModuleDict(
            {
                str(number): Head(word["verifier"], word["normed"])
                for number, word in enumerate(config["words"])
                if word["verifier"]
            }
        )

    def forward(self, samples: Tensor) -> Tensor:
        """Return the scores (rows, steps - 24, words) of samples (rows, 1280 x steps + 480) that
        go from -1 to 1."""
        embeddings = self.embedder(self.spectrogram(samples * FULL_SCALE))
        heard = embeddings.unfold(1, EMBEDDINGS, 1).transpose(2, 3).flatten(2)
        scores = [self._score(number, heard) for number in range(len(self.words))]
        return torch.stack(scores, dim=-1)

    def _score(self, number: int, heard: Tensor) -> Tensor:
        first: Tensor = self.heads[number](heard)
        if str(number) not in self.verifiers:
            return first
        return torch.where(first >= 0.5, self.verifiers[str(number)](heard), first)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Up to 30 s of a recording with what must be heard before: samples from the step `first`, and
    how many seconds the whole recording has."""

    samples: Samples
    first: int
    seconds: float

    @property
    def nbytes(self) -> int:
        """Bytes of memory, for the worker's bound on what waits."""
        return int(self.samples.nbytes)

    def item(self) -> Item:
        """Return the item for the batcher; its cost is in samples."""
        return Item(self, cost=len(self.samples))

    def place(self, score: int) -> tuple[float, float]:
        """Return the start and the end, in seconds, of what a score heard of the recording."""
        heard = (self.first + score - STEPS_BEFORE) * STEP
        end = min(self.seconds, (heard + HEARD) / RATE)
        return max(0.0, heard / RATE), end


class WakeWordListener:
    """The loaded networks: what they are given of a recording, and what they hear in it."""

    rate = RATE
    # Nothing looks ahead, so padding behind a stretch is exact.
    batching = Batching("length", rows=8, budget=60 * RATE)

    def __init__(self, folder: Path, device: Device) -> None:
        torch.set_num_threads(device.threads)
        self.device = device
        model = WakeWords(config_in(folder))
        model.load_state_dict(load_file(folder / "model.safetensors"))
        self.model = model.eval().to(device.name)
        self.labels = model.words

    def stretches(self, samples: Samples) -> list[Stretch]:
        """Cut a recording, with silence before and behind it, into overlapping stretches."""
        steps = -(-len(samples) // STEP) + STEPS_AFTER
        padded = np.zeros((STEPS_BEFORE + steps) * STEP + OVERHANG, np.float32)
        padded[STEPS_BEFORE * STEP :][: len(samples)] = samples
        return [
            Stretch(
                padded[
                    first * STEP : (min(first + STRETCH, steps) + STEPS_BEFORE) * STEP + OVERHANG
                ],
                first,
                len(samples) / RATE,
            )
            for first in range(0, steps, STRETCH)
        ]

    def scores(self, items: Sequence[Item]) -> list[np.ndarray]:
        """Return the scores of each stretch: float32, (steps, words)."""
        arrays = [item.data.samples for item in items]
        batch = np.zeros((len(arrays), max(map(len, arrays))), np.float32)
        for row, array in zip(batch, arrays, strict=True):
            row[: len(array)] = array
        with torch.inference_mode():
            found = self.model(torch.from_numpy(batch).to(self.device.name)).cpu().numpy()
        steps = [len(array) // STEP - STEPS_BEFORE for array in arrays]
        return [scores[:count] for scores, count in zip(found, steps, strict=True)]
