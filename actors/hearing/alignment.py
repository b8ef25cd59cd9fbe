"""When each token of a text was said: where the decoder looked while it wrote.

Some of Whisper's heads look at the sound of the very token that comes next; the model states which
(`alignment_heads`). One more pass over the finished text gives their attention. Its peaks tell
which sound was heard at all; the cheapest monotonous path through it gives each token its time.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

Matrix = NDArray[np.float64]
Places = NDArray[np.int64]

SMOOTHED = 7
"""Positions of the median filter over time, where the model does not state another number."""

MARGIN = 20
"""Positions (0.4 s) beyond the outermost peaks that a path may use: half of a long word. Without
the bound the first and the last word were drawn out over all silence beside them."""


class Aligner:
    """The heads of a Whisper model that tell the time."""

    def __init__(self, model: Any, heads: Sequence[Sequence[int]]) -> None:
        self._model = model
        self._layers = sorted({layer for layer, _ in heads})
        self._heads = {n: [head for layer, head in heads if layer == n] for n in self._layers}
        self._smoothed = int(getattr(model.config, "median_filter_width", SMOOTHED))

    def attention(
        self, encoded: Tensor, prompts: Sequence[Sequence[int]], texts: Sequence[Sequence[int]]
    ) -> list[Tensor]:
        """Return where the heads look for each token of a text and its end mark, by row of
        `encoded`: float32, (heads, tokens + 1, positions), on the CPU.

        A token's attention is that of the position which writes it, the one before its own. No
        position sees a later one, so rows may be filled up on the right.
        """
        rows = [[*prompt, *text] for prompt, text in zip(prompts, texts, strict=True)]
        longest = max(len(ids) for ids in rows)
        padded = [[*ids, *[ids[-1]] * (longest - len(ids))] for ids in rows]
        found: dict[int, Tensor] = {}
        with self._watched(found), torch.inference_mode():
            self._model(
                encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
                decoder_input_ids=torch.tensor(padded, device=encoded.device),
                use_cache=False,
            )
        whole = torch.cat([found[layer] for layer in self._layers], dim=1)
        skip = len(prompts[0]) - 1
        return [row[:, skip : len(ids)] for row, ids in zip(whole, rows, strict=True)]

    def starts(self, attention: Tensor, first: int, last: int) -> Places:
        """Return the position at which each token begins, on a path from `first` to `last`."""
        begin = max(0, first - MARGIN)
        part = attention[..., begin : last + MARGIN + 1]
        spread, mean = torch.std_mean(part, dim=-2, keepdim=True, correction=0)
        scaled = (part - mean) / spread.clamp_min(1e-12)  # a single token spreads by nothing
        smooth = _median(scaled, self._smoothed).mean(dim=0)
        return begin + first_positions(-smooth.double().numpy())

    @contextmanager
    def _watched(self, found: dict[int, Tensor]) -> Iterator[None]:
        """Keep what the heads look at; only the plain implementation of attention tells."""
        config, hooks = self._model.config, []
        for number in self._layers:
            layer = self._model.model.decoder.layers[number].encoder_attn

            def keep(_: Any, __: Any, output: Any, number: int = number) -> None:
                found[number] = output[1][:, self._heads[number]].float().cpu()

            hooks.append(layer.register_forward_hook(keep))
        before, config._attn_implementation = config._attn_implementation, "eager"
        try:
            yield
        finally:
            config._attn_implementation = before
            for hook in hooks:
                hook.remove()


def first_positions(cost: Matrix) -> Places:
    """Return for each row of a (tokens, positions) matrix the column at which the cheapest path
    from the first corner to the last enters it. Steps go right, down, or both (dynamic time
    warping)."""
    rows, columns = cost.shape
    came = _steps(cost)
    row, column = rows - 1, columns - 1
    entered = np.zeros(rows, np.int64)
    while row > 0 or column > 0:
        entered[row] = column
        step = came[row, column]
        row, column = row - (step != 2), column - (step != 1)
    entered[0] = 0
    return entered


def _steps(cost: Matrix) -> NDArray[np.int8]:
    """How the cheapest path comes to each place: 0 from both sides, 1 from above, 2 from the left.

    Places on a diagonal do not depend on each other, so each diagonal is taken at once.
    """
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0.0
    came = np.zeros((rows, columns), np.int8)
    for diagonal in range(rows + columns - 1):
        i = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1))
        j = diagonal - i
        both, above, left = total[i, j], total[i, j + 1], total[i + 1, j]
        step = np.where((both < above) & (both < left), 0, np.where(above < left, 1, 2))
        came[i, j] = step
        total[i + 1, j + 1] = cost[i, j] + np.choose(step, [both, above, left])
    came[0, 1:], came[1:, 0] = 2, 1
    return came


def _median(values: Tensor, width: int) -> Tensor:
    """Median over the last axis, mirrored at its ends; as it is where it is too short."""
    side = width // 2
    if values.shape[-1] <= side:
        return values
    padded = torch.nn.functional.pad(values, (side, side, 0, 0), mode="reflect")
    return padded.unfold(-1, width, 1).median(dim=-1).values
