"""A classifier of pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from actors.image_stage import ImageStage
from actors.scores import Scorer
from actors.seeing.viewer import Viewer
from actors.stage import Item, Model, Row


class PictureClassifier(Model):
    """A loaded classifier of pictures; its scorer names what it says."""

    def __init__(self, stage: ImageStage, viewer: Viewer, scorer: Scorer) -> None:
        self.stage = stage
        self.viewer = viewer
        self.scorer = scorer
        self.batching = viewer.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per picture."""
        side = self.viewer.side
        return [[self.viewer.item(self.stage.picture(row, side))] for row in rows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per picture its scores: float32, (labels,)."""
        logits: np.ndarray = (
            self.viewer.forward([item.data for item in items]).logits.float().cpu().numpy()
        )
        return list(self.scorer.scores(logits))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Name the best labels."""
        return self.scorer.best(outputs[0])
