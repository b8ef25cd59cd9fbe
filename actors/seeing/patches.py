"""What a model of pictures says of each place of a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel

from actors.errors import StageFailed
from actors.seeing.backbones import family_of, leading, why_no_patches
from actors.seeing.viewer import Viewer
from actors.stage import Device

STRIDES = (4, 8)
"""Pixels between the places of the maps that are taken: deeper ones know what things are rather
than how a surface looks. PatchCore (arXiv:2106.08265) takes 8 and 16 of a far larger network. Of
EfficientNet-Lite0 at 320 pixels, mean AUC over three textures with three damages each (crops and
damages other than those of benchmarks/quality_pictures.py): 4 and 8 0.81, 8 and 16 0.79, all three
0.78, 4 alone 0.80."""

GRID = 8
"""Pixels between the places that are compared. A grid of every 4 pixels has four times as many."""


class PatchViewer:
    """Gives a vector of each place, of `size` numbers, of a picture shown whole as a square of
    `side` pixels.

    Of transformers these are the last layer's tokens, each of length 1. Of networks with maps
    (ConvNeXt, EfficientNet, Swin...) they are the last maps with a place every 4 and every 8
    pixels, each place averaged with its neighbours, brought to a place every 8 pixels, and put side
    by side.
    """

    def __init__(self, folder: Path, device: Device, side: int, backend: str = "pil") -> None:
        self.viewer = Viewer(AutoModel, folder, device, backend, optional="pooler.", square=side)
        config = self.viewer.config.to_dict()
        problem = why_no_patches("patches of pictures", config)
        if problem:
            raise StageFailed(f"{folder}: {problem}")
        family = family_of(config)
        self.side = side
        self.leading = leading(config, family) if family else 0
        self.size = int(self.patches([np.zeros((3, side, side), np.uint8)]).shape[-1])

    def patches(self, pixels: Sequence[np.ndarray]) -> Tensor:
        """Return a vector of each place: float32, (pictures, rows, columns, size)."""
        with torch.inference_mode():
            output = self.viewer.forward(pixels, output_hidden_states=True)
            maps = getattr(output, "reshaped_hidden_states", None) or output.hidden_states
            if maps[0].dim() == 4:
                return self._of_maps(maps)
            return self._of_tokens(output.last_hidden_state)

    def _of_tokens(self, tokens: Tensor) -> Tensor:
        places = functional.normalize(tokens[:, self.leading :].float(), dim=-1)
        side = round(places.shape[1] ** 0.5)
        return places.reshape(len(places), side, side, -1)

    def _of_maps(self, maps: Sequence[Tensor]) -> Tensor:
        last = {one.shape[-1]: one for one in maps}
        found = [last[self.side // s] for s in STRIDES if self.side // s in last]
        if not found:
            raise StageFailed(f"the model has no map with a place every 4 or 8 of {self.side} px")
        smooth = [_smooth(one.float()) for one in found]
        alike = [functional.adaptive_avg_pool2d(one, self.side // GRID) for one in smooth]
        return torch.cat(alike, 1).permute(0, 2, 3, 1).contiguous()


def _smooth(values: Any) -> Tensor:
    """Average each place of (pictures, size, rows, columns) with its neighbours."""
    return functional.avg_pool2d(values, 3, stride=1, padding=1, count_include_pad=False)
