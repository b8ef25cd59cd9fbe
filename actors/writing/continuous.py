"""Continuous batching: a row that is done makes room for the next, in transformers' own loop.

Its traps: it takes 60 % of the machine's memory unless told how much, a prompt beyond that fails
all requests, it leaves out beams and penalties without an error, and lost requests only show by
their absence. So memory is counted out here, and whatever is amiss is an error.
"""

from collections.abc import Sequence

import numpy as np
from transformers import GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from actors.stage import Batching, Item
from actors.writing.generation import Generation, Written

# Tokens in a page of the cache; half a page is lost per row. The default of 256 is meant for
# prompts of thousands.
PAGE = 32


class Continuous:
    """Greedy writing of a decoder with rows that come and go, `together` of them at once."""

    def __init__(self, generation: Generation, max_new_tokens: int) -> None:
        self.generation = generation
        self.max_new_tokens = max_new_tokens
        self.together = generation.batching(1).rows
        self.config = GenerationConfig(
            do_sample=False,
            max_new_tokens=max_new_tokens,
            eos_token_id=generation.ends or -1,
            pad_token_id=generation.pad,
        )

    @property
    def batching(self) -> Batching:
        """Many rows at once: the loop inside keeps `together` of them at work."""
        # Starting and ending the loop takes 30 ms, little beside the work on 256 rows.
        return Batching("length", rows=256, budget=2**62)

    def write(self, items: Sequence[Item]) -> list[Written]:
        """Return what the model writes for each item; raise RuntimeError when one request or more
        failed: the worker then finds the row."""
        found = self.generation.model.generate_batch(
            [item.data.ids.tolist() for item in items],
            generation_config=self.config,
            continuous_batching_config=self._sizes(items),
            warmup=self.generation.device.name != "cpu",
        )
        errors = [answer.error for answer in found.values() if answer.error]
        if errors:
            raise RuntimeError(errors[0])
        if len(found) != len(items):
            raise RuntimeError(f"continuous batching lost {len(items) - len(found)} requests")
        ids = [np.asarray(one.generated_tokens, dtype=np.int64) for one in found.values()]
        return self.generation.texts(ids, [None] * len(ids))

    def _sizes(self, items: Sequence[Item]) -> ContinuousBatchingConfig:
        """A cache that holds the largest rows that can be at work at once, and nothing more."""
        lengths = sorted(len(item.data.ids) + self.max_new_tokens for item in items)
        # One page more a row: a new page is taken before the last one is full.
        pages = sum(-(-length // PAGE) + 1 for length in lengths[-self.together :])
        longest = max(len(item.data.ids) for item in items)
        return ContinuousBatchingConfig(
            page_size=PAGE,
            num_blocks=pages,
            max_batch_tokens=max(longest, 256),
            max_requests_per_batch=self.together,
            allow_block_sharing=False,
            auto_switch_to_flash=False,
        )
