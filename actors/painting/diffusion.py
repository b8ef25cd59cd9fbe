"""Pipelines of diffusers: from noise to pictures, each row from its own seed.

A whole batch is led at once, and every row draws from a generator of its own, so its picture is
the one that it would be alone.
"""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

from actors.checkpoint import DTYPES
from actors.diffused_stage import UNPROMPTED, Order
from actors.errors import RowRejected, StageFailed
from actors.painting.painted import Painted
from actors.stage import Batching, Device, Item

UNBOUNDED = 1_000_000
"""Tokens; a tokenizer that states no limit states a number beyond this."""


class Diffusion:
    """A pipeline, opened as one of the kinds that diffusers finds by itself.

    auto      the class that opens it: AutoPipelineForText2Image, DDPMPipeline...
    settings  what every call gets besides the rows; raises StageFailed for what it does not take.
    """

    def __init__(self, auto: str, folder: Path, device: Device, settings: dict[str, Any]) -> None:
        torch.set_num_threads(device.threads)
        self.pipe = _opened(auto, folder, device)
        self.device = device
        # Pipelines without a prompt hand what they made to numpy, which has no bfloat16: they keep
        # float32, and work in bfloat16 where that is safe.
        self.mixed = device.precision == "bf16" and type(self.pipe).__name__ in UNPROMPTED
        if self.mixed:
            self.pipe.to(torch.float32)
        self.takes = set(inspect.signature(self.pipe.__call__).parameters)
        self.settings = {**self._quick(), **settings}
        unknown = sorted(set(settings) - self.takes)
        if unknown:
            raise StageFailed(f"{type(self.pipe).__name__} of {folder} takes no {unknown[0]}")
        # Few: large pictures take much memory while they are decoded.
        self.batching = Batching("shape", rows=4, budget=4)

    def item(self, order: Order, image: Image.Image | None = None) -> Item:
        """Return a row as an item; `image` is the pattern where there is one. Raises RowRejected
        (unused_negative_prompt)."""
        # Pipelines with `true_cfg_scale` leave a negative prompt out unless that is set too.
        heeds = "negative_prompt" in self.takes and "true_cfg_scale" not in self.takes
        if order.negative is not None and not heeds:
            name = type(self.pipe).__name__
            raise RowRejected("unused_negative_prompt", f"{name} heeds no negative prompt")
        shape = (order.negative is None, image.size if image else None)
        pixels = None if image is None else np.asarray(image)
        return Item((order, pixels), shape=shape)

    def is_cut(self, prompt: str) -> bool:
        """Whether no tokenizer of the pipeline takes the whole prompt."""
        parts = [part for name, part in self.pipe.components.items() if "tokenizer" in name]
        # Pipelines cut what their long tokenizers would take: FLUX schnell at 256 of 512.
        most = int(self.settings.get("max_sequence_length", self._usual_length()))
        limits = [(part, min(part.model_max_length, most)) for part in parts if part is not None]
        known = [(part, limit) for part, limit in limits if limit < UNBOUNDED]
        return bool(known) and all(
            len(part(prompt, verbose=False).input_ids) > limit for part, limit in known
        )

    def _usual_length(self) -> int:
        """Return how many tokens the pipeline reads where it is not told."""
        known = inspect.signature(self.pipe.__call__).parameters.get("max_sequence_length")
        return known.default if known is not None and known.default else UNBOUNDED

    def paint(self, items: Sequence[Item]) -> list[Painted]:
        """Return a picture for each item."""
        orders = [item.data[0] for item in items]
        given: dict[str, Any] = {"prompt": [order.prompt for order in orders]}
        if orders[0].negative is not None:
            given["negative_prompt"] = [order.negative for order in orders]
        if items[0].data[1] is not None:
            given["image"] = [Image.fromarray(item.data[1]) for item in items]
        return self._called([order.seed for order in orders], given)

    def paint_unasked(self, seeds: Sequence[int]) -> list[Painted]:
        """Return a picture for each seed, by a pipeline that takes no prompt."""
        return self._called(seeds, {"batch_size": len(seeds)})

    def _called(self, seeds: Sequence[int], given: dict[str, Any]) -> list[Painted]:
        chance = [torch.Generator(self.device.name).manual_seed(seed) for seed in seeds]
        kind = self.device.name.partition(":")[0]
        lower = torch.autocast(kind, torch.bfloat16, enabled=self.mixed)
        with torch.inference_mode(), lower:
            made = self.pipe(**given, **self.settings, generator=chance)
        marks = getattr(made, "nsfw_content_detected", None) or [None] * len(seeds)
        return [Painted(image, mark) for image, mark in zip(made.images, marks, strict=True)]

    def _quick(self) -> dict[str, Any]:
        """What a FLUX that was distilled to four steps (schnell) is called with: its pipeline's
        own numbers are for its slower sister."""
        transformer = getattr(self.pipe, "transformer", None)
        quick = getattr(getattr(transformer, "config", None), "guidance_embeds", True) is False
        if not quick or not type(self.pipe).__name__.startswith("Flux"):
            return {}
        return {"num_inference_steps": 4, "guidance_scale": 0.0, "max_sequence_length": 256}


def _opened(auto: str, folder: Path, device: Device) -> Any:
    """Open the pipeline from safetensors alone; raise StageFailed where it does not open."""
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    try:
        pipe = getattr(diffusers, auto).from_pretrained(
            folder,
            torch_dtype=DTYPES[device.precision],
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, ImportError) as error:
        raise StageFailed(f"{folder} does not open as a pipeline of diffusers: {error}") from error
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device.name)
