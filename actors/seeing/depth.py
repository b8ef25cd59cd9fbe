"""Models of depth: how far each pixel is, at the picture's own size or a smaller one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from transformers import AutoModelForDepthEstimation

from actors.errors import RowRejected
from actors.images import Picture
from actors.seeing.depth_map import Map, Unit
from actors.seeing.viewer import Viewer
from actors.stage import Batching, Device, Item

METRIC = ("zoedepth", "glpn")
"""Families that always answer in metres; Depth Anything's config.json says whether it does."""

Size = tuple[int, int]
"""Height and width, in pixels."""


def unit_of(config: Mapping[str, Any]) -> Unit:
    """Return what a model with this configuration answers in."""
    metric = config.get("depth_estimation_type") == "metric" or config.get("model_type") in METRIC
    return "metres" if metric else "relative inverse"


class DepthViewer:
    """A model of depth with its image processor."""

    def __init__(
        self,
        folder: Path,
        device: Device,
        backend: str = "pil",
        unit: Literal["auto", "metres", "relative inverse"] = "auto",
    ) -> None:
        self.viewer = Viewer(AutoModelForDepthEstimation, folder, device, backend)
        config = self.viewer.config
        self.unit: Unit = unit_of(config.to_dict()) if unit == "auto" else unit
        self.padded = config.model_type == "zoedepth" and self.viewer.eye.processor.do_pad
        self.least = self.viewer.eye.processor.size_divisor if config.model_type == "glpn" else 1

    @property
    def batching(self) -> Batching:
        """Pictures of one shape; a ZoeDepth for several kinds of scenes takes one at a time, as
        it would choose one kind for a whole batch."""
        kinds = getattr(self.viewer.config, "bin_configurations", None) or ()
        batching = self.viewer.batching
        return replace(batching, rows=1) if len(kinds) > 1 else batching

    @property
    def side(self) -> int | None:
        """Longest side, in pixels, that a picture is resized to; None where it is not resized."""
        return self.viewer.side

    def item(self, picture: Picture, size: Size) -> Item:
        """Return the picture as the model is shown it, to answer with a map of `size`.

        Raises RowRejected (image_too_narrow, image_too_small).
        """
        decoded = (picture.image.height, picture.image.width)
        if min(decoded) < self.least:
            raise RowRejected(
                "image_too_small",
                f"{decoded[1]} x {decoded[0]} pixels; each side needs {self.least}",
            )
        self._check_shape(*decoded)
        return self.viewer.item(picture, (decoded, size))

    def _check_shape(self, height: int, width: int) -> None:
        """Raise RowRejected (image_too_narrow) where the processor of a DPT or ZoeDepth, which
        keeps the shape and rounds sides to a multiple, would leave nothing of the shorter one."""
        processor = self.viewer.eye.processor
        if not getattr(processor, "keep_aspect_ratio", False):
            return
        scales = (processor.size["height"] / height, processor.size["width"] / width)
        scale = min(scales, key=lambda one: abs(1 - one))
        if round(min(height, width) * scale / processor.ensure_multiple_of) == 0:
            raise RowRejected(
                "image_too_narrow",
                f"{width} x {height} pixels; shown to the model, the shorter side would be less"
                f" than half of {processor.ensure_multiple_of} pixels",
            )

    def maps(self, items: Sequence[Item]) -> list[Map]:
        """Return per picture its depths. Raises RowRejected (not_finite)."""
        with torch.inference_mode():
            found = self.viewer.forward([item.data[0] for item in items]).predicted_depth.float()
            return [
                self._map(found[n], decoded, size)
                for n, (_, (decoded, size)) in enumerate(item.data for item in items)
            ]

    def _map(self, depth: Tensor, decoded: Size, size: Size) -> Map:
        if self.padded:
            depth = _without_padding(depth, decoded)
        if depth.shape != size:
            depth = _resized(depth, size)
        if not bool(torch.isfinite(depth).all()):
            raise RowRejected("not_finite", "the model answered NaN or infinity")
        found: Map = np.ascontiguousarray(depth.cpu().numpy(), dtype=np.float32)
        return found


def _resized(depth: Tensor, size: Size) -> Tensor:
    return interpolate(depth[None, None], size=size, mode="bicubic", align_corners=False)[0, 0]


def _without_padding(depth: Tensor, decoded: Size) -> Tensor:
    """Cut off what ZoeDepth's image processor lays around a picture: 3 x the root of half a side
    (https://github.com/isl-org/ZoeDepth, infer with fh = fw = 3)."""
    high, wide = (int(np.sqrt(side / 2) * 3) for side in decoded)
    whole = _resized(depth, (decoded[0] + 2 * high, decoded[1] + 2 * wide))
    return whole[high : high + decoded[0], wide : wide + decoded[1]]


def size_within(picture: Picture, most: int | None) -> Size:
    """Return the picture's size, its longest side no more than `most`."""
    longest = max(picture.width, picture.height)
    if most is None or longest <= most:
        return picture.height, picture.width
    return max(1, round(picture.height * most / longest)), max(
        1, round(picture.width * most / longest)
    )
