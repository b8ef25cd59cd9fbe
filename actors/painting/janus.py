"""Janus: a language model that writes a picture's tokens one after the other, and a decoder.

transformers draws for the whole batch at once; here each row draws by numbers of its own, so that
its picture does not hang on its neighbours.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import (
    AutoProcessor,
    JanusForConditionalGeneration,
    LogitsProcessor,
    LogitsProcessorList,
)

from actors.checkpoint import load_model
from actors.diffused_stage import Order
from actors.errors import RowRejected
from actors.painting.painted import Painted
from actors.stage import Batching, Device, Item

GUIDANCE = 5.0
"""What the model's authors take."""


class Janus:
    """A Janus model with its processor."""

    def __init__(
        self, folder: Path, device: Device, guidance: float | None, temperature: float
    ) -> None:
        self.model = load_model(JanusForConditionalGeneration, folder, device)
        self.processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        self._set_marks()
        self.device = device
        self.guidance = GUIDANCE if guidance is None else guidance
        self.temperature = temperature
        self.tokens = int(self.model.config.vision_config.num_image_tokens)
        self.room = int(self.model.config.text_config.max_position_embeddings) - self.tokens
        self.batching = Batching("shape", rows=4 if device.name == "cpu" else 16, budget=65_536)

    def _set_marks(self) -> None:
        """Tell `generate` the tokens that it needs; not every checkpoint's file states them."""
        tokenizer, settings = self.processor.tokenizer, self.model.generation_config
        begins = tokenizer.convert_tokens_to_ids(self.processor.image_start_token)
        settings.generation_kwargs = {"boi_token_id": begins}
        settings.bos_token_id = tokenizer.bos_token_id
        settings.pad_token_id = tokenizer.pad_token_id

    def item(self, order: Order) -> Item:
        """Return a row as an item; rows of one number of tokens share a batch. Raises RowRejected
        (unused_negative_prompt, too_long)."""
        if order.negative is not None:
            raise RowRejected("unused_negative_prompt", "Janus heeds no negative prompt")
        ids = self._ids(order.prompt)
        if len(ids) > self.room:
            raise RowRejected("too_long", f"the prompt has {len(ids)} tokens, {self.room} may be")
        return Item((order, ids), cost=len(ids) + self.tokens, shape=len(ids))

    def is_cut(self, prompt: str) -> bool:
        """Prompts are read whole, or rejected."""
        return False

    def _ids(self, prompt: str) -> np.ndarray:
        """Return the tokens of a prompt as a user's turn, and the mark that a picture begins."""
        if self.processor.chat_template is not None:
            turn = {"role": "user", "content": [{"type": "text", "text": prompt}]}
            prompt = self.processor.apply_chat_template([turn], add_generation_prompt=True)
        text = f"{prompt}{self.processor.image_start_token}"
        return np.array(self.processor.tokenizer(text).input_ids, np.int64)

    def paint(self, items: Sequence[Item]) -> list[Painted]:
        """Return a picture for each item; all have as many tokens."""
        ids = torch.from_numpy(np.stack([item.data[1] for item in items])).to(self.device.name)
        dice = PictureDice(
            [item.data[0].seed for item in items], self.tokens, self.guidance, self.temperature
        )
        with torch.inference_mode():
            written = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                generation_mode="image",
                do_sample=False,
                guidance_scale=1.0,  # the dice see to it, before they draw
                logits_processor=LogitsProcessorList([dice]),
            )
            pixels = self.model.decode_image_tokens(written).float().cpu().numpy()
        return [Painted(self._image(one), None) for one in pixels]

    def _image(self, pixels: np.ndarray) -> Image.Image:
        """Undo the normalisation of (height, width, 3), as the image processor's `postprocess`
        means to; its form without torchvision takes the height for the colours."""
        known = self.processor.image_processor
        levels = (pixels * known.image_std + known.image_mean) / known.rescale_factor
        return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


class PictureDice(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped
    """Leads scores away from those of the empty prompt, and leaves each row the one token that its
    next number draws. One for each call of `generate`."""

    def __init__(
        self, seeds: Sequence[int], count: int, guidance: float, temperature: float
    ) -> None:
        rolls = [np.random.Generator(np.random.PCG64(seed % 2**64)).random(count) for seed in seeds]
        self.rolls = iter(torch.from_numpy(np.stack(rolls, axis=1)))
        self.guidance = guidance
        self.temperature = temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return 0 for the drawn tokens and minus infinity for all others: (rows, tokens). The
        scores are those of the prompts, then those of empty ones."""
        asked, empty = scores.double().chunk(2)
        led = (empty + self.guidance * (asked - empty)) / self.temperature
        heights = led.softmax(-1).cumsum(-1)
        roll = next(self.rolls).to(scores.device)[:, None]
        drawn = (heights <= roll * heights[:, -1:]).sum(-1, keepdim=True)
        return torch.full_like(led, -torch.inf).scatter_(1, drawn, 0.0)
