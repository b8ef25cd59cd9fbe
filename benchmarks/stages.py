"""Stages of one's own, as a user would write them: `task: benchmarks.stages:ImageClassifier`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from actors.images import picture
from actors.stage import Batching, Columns, Device, Item, Model, ModelFiles, Row, Stage, option


class ImageClassifier(Stage):
    """Says which label of a ViT fits an image best."""

    reads: ClassVar[Columns] = {"image": pa.binary()}
    chunk: ClassVar[int] = 16
    weights: str = option("", "Folder of the model.")

    @property
    def writes(self) -> Columns:
        """The best label and its probability."""
        return {"label": pa.string(), "score": pa.float32()}

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the ViT."""
        import torch
        from transformers import AutoModelForImageClassification

        torch.set_num_threads(device.threads)
        return _Vit(AutoModelForImageClassification.from_pretrained(Path(self.weights)).eval())


class _Vit(Model):
    batching = Batching("fixed", rows=32)

    def __init__(self, model: Any) -> None:
        self.model = model
        self.side = model.config.image_size

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """Decode near the model's size and resize; kept as uint8, a quarter of float32."""
        images = [picture(row["image"], at_least=self.side).image for row in rows]
        return [[Item(np.asarray(i.resize((self.side, self.side), 2)))] for i in images]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Normalise to -1..1 and classify."""
        import torch

        pixels = torch.from_numpy(np.stack([item.data for item in items]))
        with torch.inference_mode():
            inputs = pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
            return list(self.model(pixel_values=inputs).logits.softmax(-1).numpy())

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Name the best label."""
        best = int(outputs[0].argmax())
        return {"label": self.model.config.id2label[best], "score": float(outputs[0][best])}


class Words(Stage):
    """Counts the words of a text: a stage without a model, for what the rest of the house costs."""

    reads: ClassVar[Columns] = {"text": pa.string()}

    @property
    def writes(self) -> Columns:
        """The number of words."""
        return {"words": pa.int64()}

    def load(self, files: ModelFiles, device: Device) -> Model:
        """There is nothing to load."""
        return _Counter()


class _Counter(Model):
    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        return [[Item(row["text"])] for row in rows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        return [len(item.data.split()) for item in items]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        return {"words": outputs[0]}
