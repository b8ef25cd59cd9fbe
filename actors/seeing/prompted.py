"""Segment Anything: masks of what points or boxes mark, or of everything in a picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModelForMaskGeneration

from actors.images import Picture
from actors.seeing.masks import Mask
from actors.seeing.segments import Size, enlarged
from actors.seeing.viewer import Viewer
from actors.stage import Batching, Device, Item

Choice = Literal["best", "all", "one"]

ROOM = 32 * 2**20
"""Numbers enlarged at once, at least one picture of them: 128 MB of float32."""

OFFSET = 1.0
"""How far the cutoff between inside and outside is moved, in logits, to see whether a mask stays
as it is: what Segment Anything's own generator and transformers' pipeline do."""


class Prompts(NamedTuple):
    """What marks the objects of a picture, in its pixels.

    points  float32, (objects, points, 2): x and y.
    labels  int64, (objects, points): 1 inside, 0 outside.
    boxes   float32, (objects, 4): xmin, ymin, xmax, ymax; objects beside those of `points`.
    """

    points: NDArray[np.float32]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float32]


class Found(NamedTuple):
    """A mask; `score` is its IoU with the right one, as the model guesses; `stability` how much
    of it stays when the cutoff is moved; `prompt` the number of what marked it."""

    mask: Mask
    score: float
    stability: float
    prompt: int


@dataclass(frozen=True, slots=True)
class Sieve:
    """Which masks are kept: those of more than a score and a stability, 0 for any; and how much the
    boxes of two may overlap (IoU)."""

    score: float
    stability: float
    overlap: float


class Prompter:
    """A Segment Anything model with its image processor."""

    def __init__(self, folder: Path, device: Device, backend: str, prompts: int) -> None:
        self.viewer = Viewer(AutoModelForMaskGeneration, folder, device, backend)
        self.prompts = prompts
        size, pad = self.viewer.eye.processor.size, self.viewer.eye.processor.pad_size
        self.edge = int(size["longest_edge"])
        self.square = (int(pad["height"]), int(pad["width"]))

    @property
    def batching(self) -> Batching:
        """Pictures are all shown as one square."""
        return self.viewer.batching

    @property
    def side(self) -> int:
        """Longest side, in pixels, that a picture is resized to."""
        return self.edge

    def item(self, picture: Picture, prompts: Prompts | None) -> Item:
        """Return the picture as the model is shown it, and what marks its objects; None marks
        everything. Raises RowRejected."""
        shown = _resized(picture.image.size[::-1], self.edge)
        return self.viewer.item(picture, (shown, (picture.height, picture.width), prompts))

    def looks(self, items: Sequence[Item]) -> Tensor:
        """Return what the model sees of each picture: the larger part of its work."""
        pixels = self.viewer.eye.tensor([item.data[0] for item in items])
        with torch.inference_mode():
            looks: Tensor = self.viewer.model.get_image_embeddings(
                pixels.to(self.viewer.model.dtype)
            )
            return looks

    def marked(self, look: Tensor, item: Item, choice: Choice) -> list[Found]:
        """Return the masks of marked objects: those of points, then those of boxes."""
        shown, size, prompts = item.data[1]
        scale = np.array([shown[1] / size[1], shown[0] / size[0]])
        found = []
        with torch.inference_mode():
            for first, inputs in self._inputs(prompts, scale):
                masks, scores = self._ask(look, inputs, choice)
                for object_, which in _chosen(scores, choice):
                    logits, score = masks[object_, which][None], float(scores[object_, which])
                    ((mask, stability),) = self._read(logits, shown, size)
                    found.append(Found(mask, score, stability, first + object_))
        return found

    def everything(self, look: Tensor, item: Item, side: int, sieve: Sieve) -> list[Found]:
        """Return the masks of what points on a grid of `side` x `side` mark, best first."""
        shown, size, _ = item.data[1]
        places = (np.arange(side) + 0.5) / side
        x, y = np.meshgrid(places * shown[1], places * shown[0])
        points = np.stack([x.ravel(), y.ravel()], axis=-1)[:, None].astype(np.float32)
        labels, no_boxes = np.ones(points.shape[:2], np.int64), np.zeros((0, 4), np.float32)
        prompts = Prompts(points, labels, no_boxes)
        room = max(1, ROOM // max(size[0] * size[1], self.edge**2))
        found: list[Found] = []
        with torch.inference_mode():
            for first, inputs in self._inputs(prompts, np.ones(2)):
                masks, scores = self._ask(look, inputs, "all")
                good = (scores > (sieve.score or -torch.inf)).nonzero()
                for few in torch.split(good, room):
                    read = self._read(masks[few[:, 0], few[:, 1]], shown, size)
                    found += [
                        Found(mask, float(scores[n, k]), stability, first + n)
                        for (n, k), (mask, stability) in zip(few.tolist(), read, strict=True)
                        if stability > sieve.stability or not sieve.stability
                    ]
        return apart(found, sieve.overlap)

    def _inputs(
        self, prompts: Prompts, scale: NDArray[np.float64]
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Yield (number of the first object, the model's inputs) for a few objects at a time."""
        device = self.viewer.device.name
        points = torch.tensor(prompts.points * scale, dtype=torch.float32, device=device)
        labels = torch.tensor(prompts.labels, device=device)
        boxes = torch.tensor(prompts.boxes * np.tile(scale, 2), dtype=torch.float32, device=device)
        for n in range(0, len(points), self.prompts):
            few = slice(n, n + self.prompts)
            yield n, {"input_points": points[few][None], "input_labels": labels[few][None]}
        for n in range(0, len(boxes), self.prompts):
            yield len(points) + n, {"input_boxes": boxes[n : n + self.prompts][None]}

    def _ask(
        self, look: Tensor, inputs: dict[str, Tensor], choice: Choice
    ) -> tuple[Tensor, Tensor]:
        """Return logits (objects, masks, h, w) and scores (objects, masks)."""
        out: Any = self.viewer.model(
            image_embeddings=look[None], multimask_output=choice != "one", **inputs
        )
        return out.pred_masks[0].float(), out.iou_scores[0].float()

    def _read(self, logits: Tensor, shown: Size, size: Size) -> list[tuple[Mask, float]]:
        """Return the mask and the stability of logits (masks, h, w), at the picture's size."""
        if not len(logits):
            return []
        square = enlarged(logits, self.square)[:, : shown[0], : shown[1]]
        whole = enlarged(square, size)
        inner = _counted(whole > OFFSET)
        outer = _counted(whole > -OFFSET).clamp(min=1)
        stability = (inner / outer).tolist()
        masks = (whole > 0).cpu().numpy()
        return [(Mask.of(mask), s) for mask, s in zip(masks, stability, strict=True)]


def _counted(inside: Tensor) -> Tensor:
    """Return the pixels in each mask, (masks,). One mask at a time: a sum over all of them at
    640 x 480 took 2.3 times as long on a CPU."""
    return torch.stack([torch.count_nonzero(mask) for mask in inside])


def _resized(size: Size, edge: int) -> Size:
    """Return the size that the image processor gives a picture."""
    scale = edge / max(size)
    return int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)


def _chosen(scores: Tensor, choice: Choice) -> list[tuple[int, int]]:
    """Return (object, mask) of the masks that are answered; all of an object best first."""
    count = scores.shape[1] if choice == "all" else 1
    best = scores.argsort(dim=1, descending=True, stable=True)[:, :count].tolist()
    return [(object_, which) for object_, masks in enumerate(best) for which in masks]


def apart(found: Sequence[Found], overlap: float) -> list[Found]:
    """Return masks best first, without those whose box overlaps a better one's by more (IoU)."""
    ranked = sorted(found, key=lambda one: -one.score)
    boxes = np.array([list(one.mask.box.values()) for one in ranked]).reshape(-1, 4)
    kept: list[int] = []
    for n, box in enumerate(boxes):
        if not kept or _iou(boxes[kept], box).max() <= overlap:
            kept.append(n)
    return [ranked[n] for n in kept]


def _iou(boxes: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    union = areas + np.prod(box[2:] - box[:2]) - shared
    ious: NDArray[np.float64] = shared / np.maximum(union, 1e-9)
    return ious
