"""Segmentation models: which families there are, and how each says what it sees."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from actors.architecture import architectures, config_in, is_made_for
from actors.errors import RowRejected, StageFailed
from actors.images import Picture
from actors.scores import labels_of
from actors.seeing.segments import Bounds, Proposals, Segment, Size, enlarged, semantic
from actors.seeing.selfie import SELFIE, SelfieSegmenter
from actors.seeing.viewer import Viewer
from actors.stage import Batching, Device, Item

if TYPE_CHECKING:
    from torch import Tensor

PROPOSERS = (
    "Mask2FormerForUniversalSegmentation",
    "MaskFormerForInstanceSegmentation",
    "EomtForUniversalSegmentation",
    "EomtDinov3ForUniversalSegmentation",
)
"""Architectures that propose masks, each with a class."""

PROPOSED = (384, 384)
"""The size at which Mask2Former's masks are compared, whatever the picture's: its image processor
enlarges them to this first."""


def proposes(config: Mapping[str, Any]) -> bool:
    """Say whether a config.json is of a model that proposes masks, each with a class."""
    return bool(set(architectures(config)) & set(PROPOSERS))


def segments(config: Mapping[str, Any]) -> bool:
    """Say whether a config.json is of a model that segments pictures."""
    return proposes(config) or is_made_for(config, "ForSemanticSegmentation")


class Segmenter:
    """A segmentation model with its image processor."""

    def __init__(self, folder: Path, device: Device, backend: str, subtask: str) -> None:
        self.viewer = Viewer(_auto(folder), folder, device, backend)
        self.config = self.viewer.config
        self.late = self.config.model_type.startswith("eomt")
        usual = "panoptic" if proposes(self.config.to_dict()) else "semantic"
        self.subtask = usual if subtask == "auto" else subtask
        if getattr(self.viewer.eye.processor, "do_split_image", False):
            raise StageFailed(
                f"{folder}: the image processor cuts pictures into patches (do_split_image), which"
                " image-segmentation does not; name a model that sees pictures whole"
            )

    @property
    def labels(self) -> list[str]:
        """The names of the classes, by their numbers."""
        return labels_of(self.config)

    @property
    def batching(self) -> Batching:
        """Pictures of one shape."""
        return self.viewer.batching

    @property
    def side(self) -> int | None:
        """Longest side, in pixels, that a picture is resized to."""
        return self.viewer.side

    def item(self, picture: Picture) -> Item:
        """Return the picture as the model is shown it. Raises RowRejected."""
        note = (picture.image.height, picture.image.width), (picture.height, picture.width)
        return self.viewer.item(picture, note)

    def answer(self, items: Sequence[Item], bounds: Bounds) -> list[tuple[list[Segment], Size]]:
        """Return per picture its segments and its size. Raises RowRejected (not_finite)."""
        with torch.inference_mode():
            out = self.viewer.forward([item.data[0] for item in items])
            return [
                (self._segments(out, n, decoded, size, bounds), size)
                for n, (_, (decoded, size)) in enumerate(item.data for item in items)
            ]

    def _segments(
        self, out: Any, n: int, decoded: Size, size: Size, bounds: Bounds
    ) -> list[Segment]:
        proposed = "masks_queries_logits" in out
        said = (out.class_queries_logits if proposed else out.logits)[n].float()
        if not bool(torch.isfinite(said).all()):
            raise RowRejected("not_finite", "the model answered NaN or infinity")
        if not proposed:
            return semantic(said, size)
        masks = self._masks(out.masks_queries_logits[n].float(), decoded)
        proposals = Proposals(said, masks, self.late)
        if self.subtask == "semantic":
            return proposals.semantic(size)
        if self.subtask == "instance":
            return proposals.instances(size, bounds)
        return proposals.panoptic(size, bounds)

    def _masks(self, masks: "Tensor", decoded: Size) -> "Tensor":
        """Return proposed masks at the size at which they are compared, without padding."""
        if self.late:
            return self._unpadded(masks, decoded)
        return enlarged(masks, PROPOSED) if self.config.model_type == "mask2former" else masks

    def _unpadded(self, masks: "Tensor", decoded: Size) -> "Tensor":
        from transformers.image_transforms import get_size_with_aspect_ratio

        processor = self.viewer.eye.processor
        short, long = processor.size["shortest_edge"], processor.size["longest_edge"]
        shown = enlarged(masks, (short, long or short))
        if not processor.do_pad:
            return shown
        height, width = get_size_with_aspect_ratio(decoded, short, long)
        return shown[:, :height, :width]


def open_segmenter(
    folder: Path, device: Device, backend: str, subtask: str
) -> Segmenter | SelfieSegmenter:
    """Open the model in a folder: transformers' classes, or the one that is our own."""
    config = config_in(folder)
    if config.get("model_type") == SELFIE:
        return SelfieSegmenter(folder, device)
    return Segmenter(folder, device, backend, subtask)


def _auto(folder: Path) -> Any:
    """Return the Auto class that opens the folder's model."""
    from transformers import (
        AutoConfig,
        AutoModelForSemanticSegmentation,
        AutoModelForUniversalSegmentation,
    )

    config = AutoConfig.from_pretrained(folder, local_files_only=True).to_dict()
    return (
        AutoModelForUniversalSegmentation if proposes(config) else AutoModelForSemanticSegmentation
    )
