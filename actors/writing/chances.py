"""How likely the tokens were that a model wrote."""

from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor


class Chances(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped
    """Notes the chance of each token as greedy search takes it; keeps no logits.

    The logits of one page of 4,096 tokens over 150,000 words would take 2.4 GB.
    """

    def __init__(self) -> None:
        self.steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores untouched."""
        self.steps.append(scores.float().softmax(-1).amax(-1))
        return scores

    def table(self) -> np.ndarray:
        """Return the chances of all tokens so far: float32 (rows, tokens)."""
        return torch.stack(self.steps, 1).cpu().numpy()


def chances_of_beams(model: Any, found: Any) -> np.ndarray:
    """Return the chances of the tokens that a search with beams chose: float32 (rows, tokens).

    `found` is what `generate` returns with its scores, which are logarithms of chances already.
    """
    steps = model.compute_transition_scores(found.sequences, found.scores, found.beam_indices)
    chances: np.ndarray = steps.float().exp().cpu().numpy()
    return chances
