"""Models of poses: where the joints of persons are, shown one person at a time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from transformers import AutoModelForPoseEstimation

from actors.architecture import config_in
from actors.checkpoint import load_model
from actors.errors import RowRejected, StageFailed
from actors.images import Picture
from actors.scores import labels_of
from actors.seeing.eye import check_shape, load_processor
from actors.seeing.joints import Pose
from actors.seeing.movenet import MOVENET, MoveNetPoser
from actors.stage import Batching, Device, Item

LOWEST = 4
"""Pixels: of lower pictures ViTPose's image processor takes the rows for channels."""


class Poser(Protocol):
    """A loaded model of poses; `names` are those of its joints."""

    names: list[str]
    batching: Batching

    def check(self, picture: Picture) -> None:
        """Raise RowRejected (image_too_narrow, image_too_small) where it cannot be looked at."""

    def items(self, picture: Picture, boxes: Sequence[Sequence[float]]) -> list[Item]:
        """Return each person as the model is shown it; the second part of an item's data is its
        box as x, y, width and height. `boxes` are edges; `picture` must be of its full size,
        and checked."""

    def infer(self, items: Sequence[Item]) -> list[Pose]:
        """Return the pose of each person."""


def load_poser(folder: Path, device: Device, backend: str = "pil", expert: int = 0) -> Poser:
    """Load the model of poses of a folder, which its config.json names.

    `expert` chooses among the kinds of poses that a model with several was trained on. Raises
    StageFailed.
    """
    config = config_in(folder)
    experts = (config.get("backbone_config") or {}).get("num_experts", 1)
    if expert >= experts:
        raise StageFailed(f"{folder}: there is no expert {expert}; the model has {experts}")
    if config["model_type"] == MOVENET:
        return MoveNetPoser(folder, device)
    return TransformerPoser(folder, device, backend, expert)


class TransformerPoser:
    """A model of poses of transformers: ViTPose, and ViTPose++ with its experts."""

    def __init__(self, folder: Path, device: Device, backend: str, expert: int) -> None:
        self.processor = load_processor(folder, backend)
        self.model = load_model(AutoModelForPoseEstimation, folder, device)
        self.names = labels_of(self.model.config)
        self.device = device
        self.experts = getattr(self.model.config.backbone_config, "num_experts", 1)
        self.expert = expert
        # Every person is cut out at one size, so any may share a batch.
        self.batching = Batching("fixed", rows=8 if device.name == "cpu" else 64)

    def check(self, picture: Picture) -> None:
        """Raise RowRejected (image_too_narrow, image_too_small) where it cannot be looked at."""
        check_shape(picture.image)
        if picture.image.height < LOWEST:
            raise RowRejected(
                "image_too_small", f"{picture.image.height} pixels high; {LOWEST} are needed"
            )

    def items(self, picture: Picture, boxes: Sequence[Sequence[float]]) -> list[Item]:
        """Return each person as the model is shown it: float32 (3, height, width), and its box."""
        sized = [[x, y, right - x, bottom - y] for x, y, right, bottom in boxes]
        if not sized:
            return []
        made = self.processor(picture.image, boxes=[sized], return_tensors="pt")
        pixels = made["pixel_values"].float().numpy()
        return [Item((one, box)) for one, box in zip(pixels, sized, strict=True)]

    def infer(self, items: Sequence[Item]) -> list[Pose]:
        """Return the pose of each person."""
        pixels = torch.from_numpy(np.stack([item.data[0] for item in items]))
        pixels = pixels.to(self.device.name, self.model.dtype)
        with torch.inference_mode():
            outputs = self.model(pixel_values=pixels, **self._chosen(len(items)))
        outputs.heatmaps = outputs.heatmaps.float()
        boxes = [[item.data[1]] for item in items]
        found = self.processor.post_process_pose_estimation(outputs, boxes=boxes)
        return [_pose(one) for (one,) in found]

    def _chosen(self, persons: int) -> dict[str, torch.Tensor]:
        if self.experts == 1:
            return {}
        return {"dataset_index": torch.full((persons,), self.expert, device=self.device.name)}


def _pose(found: dict[str, Any]) -> Pose:
    scores = found["scores"].numpy().reshape(-1)
    return Pose(found["keypoints"].numpy(), np.clip(scores, 0, 1).astype(np.float32))
