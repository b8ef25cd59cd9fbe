"""Piper's voices: VITS of phonemes, with a vocoder of single convolutions (HiFi-GAN's block "2").

A folder of one holds config.json (architecture PiperVoice), model.safetensors and vocab.json,
phoneme -> id.
"""

import json
from pathlib import Path

import numpy as np
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from transformers import VitsConfig, VitsModel

from actors.voices.espeak import espeak

# What stands before, between and after the phonemes; between them as in the voices' training.
START, BLANK, END = "^", "_", "$"


class PiperVoice(VitsModel):  # type: ignore[misc]
    """VITS as Piper trains it, without the parts that only training needs."""

    def __init__(self, config: VitsConfig) -> None:
        super().__init__(config)
        self.posterior_encoder = nn.Identity()
        predictor = self.duration_predictor
        for name in ("post_conv_pre", "post_conv_proj", "post_conv_dds", "post_flows"):
            setattr(predictor, name, nn.Identity())
        predictor.flows[1] = nn.Identity()  # in its place, but left out on the way to durations
        self.decoder.resblocks = nn.ModuleList(
            SingleBlock(config.upsample_initial_channel // 2 ** (stage + 1), kernel, dilations)
            for stage in range(len(config.upsample_rates))
            for kernel, dilations in zip(
                config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
            )
        )


class SingleBlock(nn.Module):
    """One dilated convolution per step, each added to what it heard: (items, channels, samples)."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=d, padding=(kernel - 1) * d // 2)
            for d in dilations
        )

    def forward(self, heard: Tensor) -> Tensor:
        """Return the sound with each step's part added."""
        for convolution in self.convs:
            heard = heard + convolution(leaky_relu(heard, 0.1))
        return heard


class PhonemeReader:
    """Turns a sentence into the ids of its phonemes."""

    def __init__(self, folder: Path, language: str) -> None:
        self.ids: dict[str, int] = json.loads((folder / "vocab.json").read_text("utf-8"))
        self.language = language

    def __call__(self, sentence: str) -> np.ndarray:
        """Return ids, int64 (tokens,); none where there is nothing to say."""
        said = espeak().phonemes(sentence, self.language)
        known = [self.ids[sign] for sign in said if sign in self.ids]
        if not any(character.isalpha() for character in said):
            return np.zeros(0, np.int64)
        blank = self.ids[BLANK]
        between = [number for sign in known for number in (sign, blank)]
        return np.array([self.ids[START], blank, *between, self.ids[END]], np.int64)
