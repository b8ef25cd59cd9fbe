"""BLIP and ViLT: how well a text matches a picture, by a model that reads both together."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, BlipForImageTextRetrieval, ViltForImageAndTextRetrieval

from actors.errors import RowRejected
from actors.images import Picture
from actors.scores import sigmoid, softmax
from actors.seeing.viewer import Viewer
from actors.seeing.words import TOKEN, WordReader, Words
from actors.stage import Batching, Device, Item

CLASSES = {"blip": BlipForImageTextRetrieval, "vilt": ViltForImageAndTextRetrieval}


class Matcher:
    """A model that says how well a text matches a picture (0..1): BLIP's matching head, or the
    sigmoid of ViLT's rank."""

    def __init__(self, folder: Path, device: Device, backend: str = "pil") -> None:
        self.device = device
        self.family = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
        self.viewer = Viewer(CLASSES[self.family], folder, device, backend)
        config = self.viewer.config
        if self.family == "vilt":
            # A limit makes the model look at patches that it draws by chance, others each time.
            config.max_image_length = -1
        length = getattr(config, "text_config", config).max_position_embeddings
        self.words = WordReader(folder, device, length)

    @property
    def batching(self) -> Batching:
        """Pairs of one shape of picture and one length of text share a batch."""
        return self.viewer.batching

    def read(self, texts: Sequence[str]) -> list[Words]:
        """Return the texts, cut to what the model reads: `cut` says so."""
        return self.words.read(texts)

    def pair(self, picture: Picture, words: Words) -> Item:
        """Return the item of a pair. Raises RowRejected (image_too_narrow)."""
        try:
            seen = self.viewer.item(picture)
        except ValueError as error:  # what resizing to a side of less than a patch ends in
            raise RowRejected("image_too_narrow", f"cannot be resized: {error}") from error
        cost, shape = seen.cost + TOKEN * len(words.ids), (seen.shape, len(words.ids))
        return Item((seen.data, words), cost, shape)

    def scores(self, items: Sequence[Item]) -> np.ndarray:
        """Return how well each pair, all of one shape, matches (0..1): float32, (items,)."""
        pixels, texts = zip(*(item.data for item in items), strict=True)
        # BLIP makes a mask on torch's default device.
        with torch.device(self.device.name):
            found = self.viewer.forward(pixels, **self.words.inputs(texts))
        if self.family == "blip":
            return softmax(found.itm_score.float().cpu().numpy())[:, 1]
        return sigmoid(found.logits.float().cpu().numpy()[:, 0])
