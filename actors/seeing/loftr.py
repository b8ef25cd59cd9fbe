"""EfficientLoFTR, whose matches stay together.

transformers 5.23 keeps a match under the number of the other picture's cell on one side, and under
that of the first picture's cell on the other, so that points are paired with strangers wherever
the two orders differ; it then places points within their cells by a likeness that is taken over
the wrong axes. Here, both sides of a match have one number: that of the first picture's cell.
"""

from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import softmax
from transformers import EfficientLoFTRForKeypointMatching

from actors.architecture import config_in


def is_loftr(folder: Path) -> bool:
    """Say whether a model's folder holds an EfficientLoFTR."""
    return bool(config_in(folder).get("model_type") == "efficientloftr")


class PairedLoFTR(EfficientLoFTRForKeypointMatching):  # type: ignore[misc]
    """One pair of pictures a time: cells of 8 x 8 pixels that match, then places within them."""

    def _get_matches_from_scores(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return matched cells (1, 2, cells) and scores (1, 2, cells); -1 where nothing matches.

        `scores` is the likeness of every cell to every other: (1, height, width, height, width).
        """
        indices, values = super()._get_matches_from_scores(scores)
        others, found = indices[:, 1], values[:, 1]
        own = torch.arange(others.shape[1], device=others.device).expand_as(others)
        firsts = torch.where(others >= 0, own, -1)
        return torch.stack([firsts, others], dim=1), torch.stack([found, found], dim=1)

    def _fine_matching(
        self, firsts: Any, others: Any, cells: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Return points (1, 2, cells, 2) in pixels: the best pair of pixels in two cells, then
        the other one's place between its neighbours.

        `firsts` are features (1, cells, 64, channels); `others` have a border of one pixel:
        (1, cells, 100, channels); the last few channels serve the second step alone.
        """
        few = self.config.fine_matching_slice_dim
        cut = firsts.shape[-1] - few
        pixels = firsts.shape[2]
        side = round(pixels**0.5)
        alike = firsts[..., :cut] @ others[..., :cut].mT / cut
        alike = softmax(alike, dim=-2) * softmax(alike, dim=-1)
        wide = alike.reshape(*alike.shape[:-1], side + 2, side + 2)
        inner = wide[..., 1:-1, 1:-1].flatten(-3)
        best = inner.argmax(-1)
        pair = torch.stack([best // pixels, best % pixels], dim=1)
        points = cells + (_places(pair, side) - side // 2 + 0.5) * scale
        finer = firsts[..., cut:] @ others[..., cut:].mT / few**0.5
        found: torch.Tensor = self._get_second_stage_fine_matching(
            pair[..., None], points, finer, pixels, scale
        )
        return found


def _places(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """Return x and y of pixels that are numbered row by row."""
    return torch.stack([pixels % side, pixels // side], dim=-1)
