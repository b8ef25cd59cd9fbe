"""What tasks share whose model begins at noise and is led to a picture, step by step."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import pyarrow as pa

from actors.errors import RowRejected
from actors.painted_stage import PaintedStage
from actors.stage import Columns, Row, option
from actors.text import full_text_of, text_of

PROMPTED: Columns = {
    "prompt": pa.string(),
    "negative_prompt": pa.string(),
    "seed": pa.int64(),
}
"""What is to be seen, what is not, and what chance starts from."""

UNPROMPTED = ("DDPMPipeline", "DDIMPipeline")
"""Pipelines of diffusers that paint without a prompt."""

LONGEST = 10_000
"""Most characters of a prompt; models read some hundred tokens at most."""


@dataclass(frozen=True, slots=True)
class Order:
    """One picture as it is asked for; without a negative prompt, that is None."""

    prompt: str
    negative: str | None
    seed: int


class DiffusedStage(PaintedStage):
    """Base of tasks whose pictures are led out of noise."""

    steps: int | None = option(
        None, "Steps from noise to the picture; default: the model's own number.", ge=1, le=10_000
    )
    guidance: float | None = option(
        None, "How closely the prompt is followed; default: the model's own.", ge=0, le=100
    )
    seed: int = option(
        0,
        "What chance starts from, together with the prompt, where a row has no seed of its own.",
        ge=0,
        le=2**63 - 1,
    )

    def order(self, row: Row, usual: str | None = None) -> Order:
        """Return what a row asks for; `usual` is the prompt of rows without one.

        Raises RowRejected (null_input, empty_text, too_long...).
        """
        from actors.noise import seed_of

        if usual is not None and row.get("prompt") is None:
            row = {**row, "prompt": usual}
        prompt = full_text_of(row, "prompt")
        negative = None if row.get("negative_prompt") is None else text_of(row, "negative_prompt")
        longest = max(len(prompt), len(negative or ""))
        if longest > LONGEST:
            raise RowRejected("too_long", f"a prompt has {longest} characters, {LONGEST} may be")
        seed = row.get("seed")
        given = seed if seed is not None else seed_of(self.seed, prompt)
        return Order(prompt, negative or None, given)

    def settings(self) -> dict[str, Any]:
        """What pipelines of diffusers get, where it is set."""
        found = {"num_inference_steps": self.steps, "guidance_scale": self.guidance}
        return {name: value for name, value in found.items() if value is not None}


def why_not_diffused(task: str, config: Mapping[str, Any], prompted: bool = True) -> str | None:
    """Say why a pipeline of diffusers (its model_index.json) cannot do the task, or None."""
    name = str(config.get("_class_name"))
    if prompted == (name in UNPROMPTED):
        takes = "paints without a prompt" if prompted else "paints after a prompt"
        return f"{task} does not go with {name}, which {takes}"
    if find_spec("diffusers") is None:
        return (
            f"{name} needs diffusers, which is not installed:  pip install 'gristmill[diffusion]'"
        )
    return None
