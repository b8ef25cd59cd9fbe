"""ViLT: patches of a picture and a question in one encoder, which scores the answers it knows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForVisualQuestionAnswering, AutoTokenizer

from actors.errors import RowRejected
from actors.images import Picture
from actors.seeing.viewer import Viewer
from actors.stage import Batching, Device, Item
from actors.telling.asked import Asked
from actors.texts.encoder import longest_input
from actors.writing.generation import padded


class Vilt:
    """A loaded ViLT with its tokenizer and eye."""

    def __init__(self, folder: Path, device: Device, backend: str) -> None:
        self.viewer = Viewer(AutoModelForVisualQuestionAnswering, folder, device, backend)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.room = longest_input(self.tokenizer, self.viewer.config)
        # A limit makes the model look at patches that it draws by chance, others each time.
        self.viewer.config.max_image_length = -1

    @property
    def side(self) -> int | None:
        """Longest side, in pixels, that a picture is resized to."""
        return self.viewer.side

    @property
    def batching(self) -> Batching:
        """Pictures of one shape; questions are padded under a mask, which is exact."""
        return Batching("shape", rows=64, budget=8_192)

    def item(self, picture: Picture, words: str, cut: bool = False) -> Item:
        """Return the picture and the question; with `cut`, words that do not fit are left out.

        Raises RowRejected (image_too_narrow, too_long).
        """
        ids = np.array(self.tokenizer(words, verbose=False).input_ids, np.int64)
        long = len(ids) > self.room
        if long and not cut:
            raise RowRejected(
                "too_long", f"the question has {len(ids)} tokens, the model takes {self.room}"
            )
        if long:
            ids = np.append(ids[: self.room - 1], ids[-1])
        try:
            pixels = self.viewer.eye.pixels(picture.image)
        except ValueError as error:  # what resizing to a side of less than a patch ends in
            raise RowRejected("image_too_narrow", f"cannot be resized: {error}") from error
        return Asked(ids, {"pixel_values": pixels[None]}, cut=long).item(lengths_meet=True)

    def logits(self, items: Sequence[Item]) -> np.ndarray:
        """Return the logits of all answers: float32, (items, answers)."""
        pixels = [item.data.given["pixel_values"][0] for item in items]
        shape = (len(items), *pixels[0].shape[-2:])
        mask = torch.ones(shape, dtype=torch.long, device=self.viewer.device.name)
        words = padded(items, self.tokenizer.pad_token_id, self.viewer.device)
        found: np.ndarray = (
            self.viewer.forward(pixels, pixel_mask=mask, **words).logits.float().cpu().numpy()
        )
        return found
