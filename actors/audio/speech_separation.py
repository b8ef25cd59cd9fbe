"""speech-separation: those who speak at once, each in a file of their own."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from actors import sound
from actors.architecture import is_made_for, why_not
from actors.audio_stage import AudioStage
from actors.errors import RowRejected
from actors.stage import (
    Batching,
    Columns,
    Defaults,
    Device,
    Item,
    Model,
    ModelFiles,
    Row,
    option,
)  # fmt: skip
from actors.voices.windows import join, scaled, window_starts

if TYPE_CHECKING:
    from actors.voices.conv_tasnet import ConvTasNet


class SpeechSeparation(AudioStage):
    """Separates those who speak at the same time: one sound for each source.

    The model is a Conv-TasNet in a folder with safetensors; no public checkpoint comes in that
    format, so there is no default (`actors/voices/conv_tasnet.py` says how one of Asteroid's is
    converted). Long recordings are separated window by window, and each source goes on in the
    window after in the one that is most like it where windows overlap. Where all sources are
    silent there, they may change places. The sources are as loud as in the mixture, at the
    model's rate, and in no particular order.
    """

    models: ClassVar[Defaults] = Defaults()

    window_seconds: float = option(
        16.0, "Seconds heard at once; memory grows with them.", ge=0.5, le=600
    )
    overlap_seconds: float = option(
        4.0, "Seconds that a window shares with the one before.", ge=0.05, le=300
    )
    format: Literal["wav", "flac"] = option("wav", "Format of the sounds, 16 bits a sample.")

    @model_validator(mode="after")
    def _windows_go_forward(self) -> "SpeechSeparation":
        if self.overlap_seconds > self.window_seconds / 2:
            raise ValueError("overlap_seconds may be half of window_seconds at most")
        return self

    @property
    def writes(self) -> Columns:
        """A file of one channel for each source, their number, and their rate in Hz."""
        return {
            "sources": pa.list_(pa.binary()),
            "n_sources": pa.int32(),
            "sampling_rate": pa.int32(),
        }

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept a Conv-TasNet."""
        if is_made_for(config, "ConvTasNet"):
            return None
        return why_not("speech-separation", "a ConvTasNet", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model."""
        import torch

        from actors.voices.conv_tasnet import load

        torch.set_num_threads(device.threads)
        model, rate = load(files.folder)
        return Separator(self, model.to(device.name), rate, device)


class Separator(Model):
    """A loaded Conv-TasNet, in full precision: samples need more than bf16's 8 bits."""

    def __init__(
        self, stage: SpeechSeparation, model: "ConvTasNet", rate: int, device: Device
    ) -> None:
        self.stage, self.model, self.rate, self.device = stage, model, rate, device
        # The norms hear padding. On a CPU a batch gains nothing: 4 windows of 4 s at 8 kHz, with a
        # model of the paper's size, took 5.9 CPU-s together and 5.3 one by one.
        self.batching = Batching("shape", rows=1 if device.name == "cpu" else 8, budget=1 << 30)
        self.window = round(stage.window_seconds * rate)
        self.overlap = round(stage.overlap_seconds * rate)

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per window."""
        return [self._windows(self.stage.samples(row, self.rate)) for row in rows]

    def _windows(self, samples: sound.Samples) -> list[Item]:
        shortest = self.model.size.kernel_size
        if len(samples) < shortest:
            raise RowRejected(
                "audio_too_short",
                f"{len(samples)} samples at {self.rate} Hz; the model needs {shortest}",
            )
        starts = window_starts(len(samples), self.window, self.overlap)
        parts = [samples[start : start + self.window] for start in starts]
        return [
            Item((start, part), cost=len(part), shape=len(part))
            for start, part in zip(starts, parts, strict=True)
        ]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: where it starts, and its sources as loud as in the mixture."""
        import torch

        mixtures = np.stack([item.data[1] for item in items])
        with torch.inference_mode():
            found = self.model(torch.from_numpy(mixtures).to(self.device.name)).cpu().numpy()
        return [
            (item.data[0], scaled(sources, item.data[1]))
            for item, sources in zip(items, found, strict=True)
        ]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Join the windows, and write a file for each source."""
        starts, parts = zip(*outputs, strict=True)
        kind = self.stage.format.upper()
        files = [sound.encode(source, self.rate, kind) for source in join(parts, starts)]
        return {"sources": files, "n_sources": len(files), "sampling_rate": self.rate}
