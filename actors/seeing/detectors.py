"""Detectors: models that find things in pictures and name them."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from transformers import AutoModelForObjectDetection

from actors.architecture import config_in
from actors.detections import named, why_no_detector, why_unknown
from actors.errors import RowRejected, StageFailed
from actors.images import Picture
from actors.scores import labels_of
from actors.seeing.distances import Found
from actors.seeing.nanodet import NANODET, NanoDetDetector
from actors.seeing.picodet import PICODET, PicoDetDetector
from actors.seeing.viewer import Viewer
from actors.stage import Batching, Device, Item, Row


class Detector(Protocol):
    """A loaded detector.

    `labels` name what it finds, by number; `side` is the longest side in pixels that it is shown.
    """

    labels: list[str]
    batching: Batching

    @property
    def side(self) -> int | None:
        """Longest side, in pixels, that a picture is resized to; None where it is not resized."""

    def item(self, picture: Picture) -> Item:
        """Return a picture as the model is shown it. Raises RowRejected (image_too_narrow)."""

    def infer(self, items: Sequence[Item]) -> list[Found]:
        """Return what is found in each picture, best first; boxes within the picture, in pixels
        of its file held upright, none of them empty. Raises RowRejected (not_finite)."""


def load_detector(folder: Path, device: Device, backend: str = "pil") -> Detector:
    """Load the detector of a folder, which its config.json names. Raises StageFailed."""
    config = config_in(folder)
    problem = why_no_detector("a detector", config)
    if problem:
        raise StageFailed(f"{folder}: {problem}")
    own = {NANODET: NanoDetDetector, PICODET: PicoDetDetector}.get(config["model_type"])
    if own is not None:
        return own(folder, device)
    return TransformerDetector(folder, device, backend)


class TransformerDetector:
    """A detector of transformers: RT-DETR, D-FINE, DETR, YOLOS and their like.

    Every box that it draws in the picture is kept, however low its score.
    """

    def __init__(self, folder: Path, device: Device, backend: str) -> None:
        self.viewer = Viewer(AutoModelForObjectDetection, folder, device, backend)
        self.labels = labels_of(self.viewer.config)
        self.batching = self.viewer.batching

    @property
    def side(self) -> int | None:
        """Longest side, in pixels, that a picture is resized to."""
        return self.viewer.side

    def item(self, picture: Picture) -> Item:
        """Return a picture as the model is shown it, with its size in the file."""
        return self.viewer.item(picture, (picture.height, picture.width))

    def infer(self, items: Sequence[Item]) -> list[Found]:
        """Return what is found in each picture, as its processor reads the model's answer."""
        outputs = self.viewer.forward([item.data[0] for item in items])
        outputs.logits, outputs.pred_boxes = outputs.logits.float(), outputs.pred_boxes.float()
        sizes = [item.data[1] for item in items]
        every = self.viewer.eye.processor.post_process_object_detection(
            outputs, threshold=-1.0, target_sizes=torch.tensor(sizes, device=outputs.logits.device)
        )
        numbers = [
            [one[name].cpu().numpy() for name in ("labels", "scores", "boxes")] for one in every
        ]
        return [ordered(*one, *size) for one, size in zip(numbers, sizes, strict=True)]


def ordered(
    labels: np.ndarray, scores: np.ndarray, boxes: np.ndarray, height: int, width: int
) -> Found:
    """Return what was found best first, boxes cut to the picture; none that lies beside it.

    Raises RowRejected (not_finite): NaN would pass no threshold, and look like an empty picture.
    """
    if not (np.isfinite(scores).all() and np.isfinite(boxes).all()):
        raise RowRejected("not_finite", "the model answered NaN or infinity")
    order = np.argsort(-scores, kind="stable")
    inside = np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)
    return Found(labels[order].astype(np.int64), scores[order], inside[order]).with_size()


class Chooser:
    """Chooses, of what a detector finds, what is answered.

    Things that score `threshold` or less are left out, and those with a label that is not one of
    `labels`, unless that is None. Raises StageFailed for a label that the model does not know.
    """

    def __init__(
        self, known: Sequence[str], threshold: float, labels: Collection[str] | None = None
    ) -> None:
        problem = why_unknown(labels, {"id2label": dict(enumerate(known))})
        if problem:
            raise StageFailed(f"the model knows other labels: {problem}")
        self.known, self.threshold = known, threshold
        self.wanted = np.array([labels is None or name in labels for name in known])

    def chosen(self, found: Found) -> Found:
        """Return what is answered of it."""
        kept = (found.scores > self.threshold) & self.wanted[found.labels]
        return Found(*(values[kept] for values in found))

    def named(self, found: Found, most: int) -> list[Row]:
        """Return the first `most` as detections."""
        return named(self.known, found, most)
