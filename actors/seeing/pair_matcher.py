"""Finding the points that two pictures share: networks, and SIFT, which needs no weights."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForKeypointMatching

from actors.checkpoint import load_model
from actors.images import Picture
from actors.seeing.eye import check_shape, load_processor
from actors.seeing.loftr import PairedLoFTR, is_loftr
from actors.seeing.matches import Matches, PairMatcher
from actors.seeing.sift import Sift
from actors.stage import Device, Item

THOUSAND = 1000
"""Parts of a pixel that are told apart: the largest picture's points stay 32-bit integers."""


def load_pair_matcher(
    folder: Path | None, device: Device, threshold: float, points: int, backend: str = "pil"
) -> PairMatcher:
    """Load the network of a folder, or SIFT where there is none.

    Matches that score `threshold` or less are left out; SIFT looks at as many as `points` points
    of a picture, networks decide for themselves. Raises StageFailed.
    """
    if folder is None:
        return Sift(device, threshold, points)
    return PairNetwork(folder, device, threshold, backend)


class PairNetwork(PairMatcher):
    """A network of transformers that matches pictures: LightGlue, SuperGlue, EfficientLoFTR."""

    def __init__(self, folder: Path, device: Device, threshold: float, backend: str) -> None:
        self.processor = load_processor(folder, backend)
        auto = PairedLoFTR if is_loftr(folder) else AutoModelForKeypointMatching
        self.model = load_model(auto, folder, device)
        self.device, self.threshold = device, threshold
        self.side = max(self.processor.size["height"], self.processor.size["width"])

    def show(self, picture: Picture) -> Picture:
        """The picture itself: the processor takes two at once."""
        check_shape(picture.image)
        return picture

    def item(self, first: Picture, other: Picture) -> Item:
        """The pixels of both, float32 (1, 2, 3, height, width), and their sizes in their files."""
        made = self.processor([first.image, other.image], return_tensors="pt")
        sizes = [(one.height, one.width) for one in (first, other)]
        return Item((made["pixel_values"], sizes))

    def match(self, items: Sequence[Item]) -> list[Matches]:
        """Each pair by itself."""
        return [self._match(*item.data) for item in items]

    def _match(self, pixels: torch.Tensor, sizes: list[tuple[int, int]]) -> Matches:
        with torch.inference_mode():
            outputs = self.model(pixel_values=pixels.to(self.device.name, self.model.dtype))
        # The processor gives whole pixels; in thousands of them it gives thousandths of one.
        fine = [(height * THOUSAND, width * THOUSAND) for height, width in sizes]
        outputs.keypoints = outputs.keypoints.double()
        (found,) = self.processor.post_process_keypoint_matching(outputs, [fine], self.threshold)
        points, others = (found[f"keypoints{n}"].cpu().numpy() / THOUSAND for n in (0, 1))
        return Matches.best_first(points, others, found["matching_scores"].float().cpu().numpy())
