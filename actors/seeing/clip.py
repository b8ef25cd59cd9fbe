"""CLIP and SigLIP: vectors of pictures and of texts that can be compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from actors.errors import RowRejected, StageFailed
from actors.images import Picture
from actors.scores import Activation, sigmoid, softmax
from actors.seeing.viewer import Viewer
from actors.seeing.words import TOKEN, WordReader, Words
from actors.stage import Batching, Device, Item

# Texts turned into vectors at once when labels are read at loading.
TEXTS = 64


class ClipViewer:
    """A model that puts pictures and texts into one space. All vectors have length 1.

    usual   how its numbers become scores: CLIP was trained to choose among texts (softmax), SigLIP
            to judge each one by itself (sigmoid).
    size    numbers in a vector.
    """

    def __init__(self, folder: Path, device: Device, backend: str = "pil") -> None:
        self.viewer = Viewer(AutoModel, folder, device, backend)
        self.model = self.viewer.model
        judges = self.model.config.model_type == "siglip"
        self.usual: Activation = "sigmoid" if judges else "softmax"
        length = self.model.config.text_config.max_position_embeddings
        self.words = WordReader(folder, device, length, fixed=judges)
        self.scale = float(self.model.logit_scale.detach().float().exp())
        self.bias = float(self.model.logit_bias.detach().float()) if judges else 0.0

    @property
    def batching(self) -> Batching:
        """Pictures meet pictures, and texts meet texts of their length."""
        return self.viewer.batching

    @property
    def side(self) -> int | None:
        """Longest side, in pixels, that a picture is resized to; None where it is not resized."""
        return self.viewer.side

    def see(self, picture: Picture) -> Item:
        """Return the item of a picture. Raises RowRejected (image_too_narrow)."""
        return self.viewer.item(picture)

    def read(self, texts: Sequence[str]) -> list[Item]:
        """Return the items of texts, cut to what the model reads: `item.data.cut` says so."""
        return [
            Item(words, cost=TOKEN * len(words.ids), shape=("text", len(words.ids)))
            for words in self.words.read(texts)
        ]

    def read_whole(self, texts: Sequence[str]) -> list[Item]:
        """Return the items of texts; raise RowRejected (too_long) for one that would be cut."""
        items = self.read(texts)
        if any(item.data.cut for item in items):
            raise RowRejected("too_long", f"a label has more than {self.words.length} tokens")
        return items

    def vectors(self, items: Sequence[Item]) -> np.ndarray:
        """Return a vector for each item, all of one shape: float32, (items, size)."""
        with torch.inference_mode():
            data = [item.data for item in items]
            found = self._of_texts(data) if isinstance(data[0], Words) else self._of_pictures(data)
            unit = torch.nn.functional.normalize(found.float(), dim=-1)
        vectors: np.ndarray = unit.cpu().numpy()
        return vectors

    def _of_texts(self, texts: Sequence[Words]) -> Any:
        return self.model.get_text_features(**self.words.inputs(texts)).pooler_output

    def _of_pictures(self, pixels: Sequence[np.ndarray]) -> Any:
        values = self.viewer.eye.tensor(pixels).to(self.model.dtype)
        return self.model.get_image_features(pixel_values=values).pooler_output

    def of_sentences(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the vectors of labels' sentences: float32, (sentences, size).

        Raises StageFailed for one that is too long, since its end would not count.
        """
        try:
            items = self.read_whole(sentences)
        except RowRejected as error:
            raise StageFailed(f"{error.message}, and is read whole or not") from None
        vectors = np.zeros((len(items), 0), np.float32)
        for shape in {item.shape for item in items}:
            alike = [n for n, item in enumerate(items) if item.shape == shape]
            for start in range(0, len(alike), TEXTS):
                some = alike[start : start + TEXTS]
                found = self.vectors([items[n] for n in some])
                if not vectors.size:
                    vectors = np.zeros((len(items), found.shape[1]), np.float32)
                vectors[some] = found
        return vectors

    def logits(self, picture: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Return how well each text (texts, size) fits a picture (size,): float32, (texts,)."""
        fits: np.ndarray = texts @ picture * np.float32(self.scale) + np.float32(self.bias)
        return fits

    def scores(
        self, picture: np.ndarray, texts: np.ndarray, activation: Activation | None = None
    ) -> np.ndarray:
        """Return the logits as scores (0..1), in the model's usual way or another one."""
        logits = self.logits(picture, texts)
        return softmax(logits) if (activation or self.usual) == "softmax" else sigmoid(logits)
