"""From what a segmentation model says to the segments of one picture, at the picture's own size.

Logits of a 12-megapixel picture in 150 classes are 7 GB at its size, so one class or one mask at a
time is enlarged, and classes that win nowhere are not; what is kept are runs of pixels.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from actors.seeing.masks import Mask, parts

Size = tuple[int, int]
"""Height and width, in pixels."""


SLACK = 1e-5
"""How much rounding may add to a logit between others, as a share of the largest."""


class Segment(NamedTuple):
    """A part of a picture; `label` is the number of its class; `score` is None where the model
    compares classes pixel by pixel and scores no part as a whole."""

    id: int
    label: int
    score: float | None
    mask: Mask


@dataclass(frozen=True, slots=True)
class Bounds:
    """When a mask that a model proposes is a segment.

    threshold  least score of a segment.
    mask       least probability of a pixel that a mask claims.
    overlap    least share of the pixels it claims that a mask must win over the others.
    fuse       classes of which all masks are one segment.
    """

    threshold: float
    mask: float
    overlap: float
    fuse: Collection[int] = ()


def enlarged(values: Tensor, size: Size, mode: str = "bilinear") -> Tensor:
    """Return maps (maps, h, w) at another size."""
    corners = False if mode == "bilinear" else None
    return interpolate(values[None], size=size, mode=mode, align_corners=corners)[0]


def classes_of(logits: Tensor, size: Size) -> NDArray[np.int32]:
    """Return the class of every pixel of a picture of `size`; logits are (classes, h, w)."""
    best = torch.full(size, -torch.inf, device=logits.device)
    which = torch.zeros(size, dtype=torch.int32, device=logits.device)
    for number in _possible(logits):
        value = enlarged(logits[number : number + 1], size)[0]
        which.masked_fill_(value > best, number)
        torch.maximum(best, value, out=best)
    found: NDArray[np.int32] = which.cpu().numpy()
    return found


def _possible(logits: Tensor) -> list[int]:
    """Return the classes that may be the best somewhere between their logits (classes, h, w).

    Between four neighbours a class is at most their largest and at least their smallest; one that
    is everywhere below the surest class's smallest need not be enlarged. For 12 megapixels and 150
    classes of which 8 are there that is 0.8 CPU-s, of which all are there 10.
    """
    kernel = (min(2, logits.shape[1]), min(2, logits.shape[2]))
    most = max_pool2d(logits[None], kernel, stride=1)[0]
    least = -max_pool2d(-logits[None], kernel, stride=1)[0]
    sure = least.amax(dim=0) - SLACK * float(logits.abs().max())
    numbers: list[int] = (most >= sure).flatten(1).any(dim=1).nonzero()[:, 0].tolist()
    return numbers


def semantic(logits: Tensor, size: Size) -> list[Segment]:
    """Return one segment for each class that some pixel is of; ids are the classes' numbers."""
    return [Segment(n, n, None, mask) for n, mask in parts(classes_of(logits, size)).items()]


@dataclass(frozen=True, slots=True)
class Proposals:
    """Masks that a model proposes for one picture, each with a class.

    classes  logits (proposals, classes + 1); the last is "nothing".
    masks    logits (proposals, h, w), of the picture and nothing around it.
    late     whether masks are enlarged as logits, before they become probabilities (EoMT).
    """

    classes: Tensor
    masks: Tensor
    late: bool = False

    def semantic(self, size: Size) -> list[Segment]:
        """Return one segment for each class: the proposals vote for each pixel."""
        shares = self.classes.softmax(dim=-1)[:, :-1]
        return semantic(torch.einsum("qc,qhw->chw", shares, self.masks.sigmoid()), size)

    def panoptic(self, size: Size, bounds: Bounds) -> list[Segment]:
        """Return segments that do not overlap: each pixel goes to the surest proposal."""
        scores, labels = self.classes.softmax(dim=-1).max(dim=-1)
        nothing = self.classes.shape[-1] - 1
        kept = ((labels != nothing) & (scores > bounds.threshold)).nonzero()[:, 0]
        if not len(kept):
            return []
        winner, claimed = self._contest(kept, scores, size, bounds.mask)
        won = parts(winner)
        found = [
            Segment(0, int(labels[k]), float(scores[k]), mask)
            for n, k in enumerate(kept.tolist())
            if (mask := self._enough(won, n, len(kept), claimed[n], bounds.overlap)) is not None
        ]
        return _numbered(_fused(found, bounds.fuse))

    def _contest(
        self, kept: Tensor, scores: Tensor, size: Size, least: float
    ) -> tuple[NDArray[np.int32], list[int]]:
        """Return who wins each pixel, (height, width), and how many pixels each one claims.

        Pixels of n that it wins without claiming them are n + len(kept).
        """
        best = torch.full(size, -1.0, device=kept.device)
        winner = torch.zeros(size, dtype=torch.int32, device=kept.device)
        claimed = []
        for n, k in enumerate(kept.tolist()):
            share = self._shares(k, size)
            weighed = share * scores[k]
            claims = (share if self.late else weighed) >= least
            claimed.append(int(claims.sum()))
            mine = n + len(kept) * (~claims).int()
            winner = torch.where(weighed > best, mine, winner)
            best = torch.maximum(best, weighed)
        return winner.cpu().numpy(), claimed

    def _shares(self, k: int, size: Size) -> Tensor:
        """Return the probability of each pixel to be of proposal k, (height, width)."""
        if self.late:
            return enlarged(self.masks[k : k + 1], size)[0].sigmoid()
        return enlarged(self.masks[k : k + 1].sigmoid(), size)[0]

    def _enough(
        self, won: dict[int, Mask], n: int, others: int, claimed: int, least: float
    ) -> Mask | None:
        """Return the mask of n, if it won enough of what it claims."""
        sure, unsure = won.get(n), won.get(n + others)
        area = sum(mask.area for mask in (sure, unsure) if mask)
        if not area or not claimed or area / claimed <= least:
            return None
        if self.late or unsure is None:
            return sure
        return joined([mask for mask in (sure, unsure) if mask])

    def instances(self, size: Size, bounds: Bounds) -> list[Segment]:
        """Return things that may overlap, the surest first."""
        candidates = self._per_mask() if self.late else self._per_class()
        found = []
        for score, label, k in candidates:
            if score < bounds.threshold:
                continue  # the quality of the mask can only make it less
            inside, quality = self._thing(k, size)
            if score * quality >= bounds.threshold and bool(inside.any()):
                mask = Mask.of(inside.cpu().numpy())
                found.append(Segment(0, label, score * quality, mask))
        return _numbered(sorted(found, key=lambda one: -(one.score or 0.0)))

    def _per_class(self) -> list[tuple[float, int, int]]:
        """Score, class and proposal of the best pairs of a proposal with a class."""
        shares = self.classes.softmax(dim=-1)[:, :-1]
        scores, places = shares.flatten().topk(len(shares))
        width = shares.shape[1]
        found = zip(scores.tolist(), places.tolist(), strict=True)
        return [(score, place % width, place // width) for score, place in found]

    def _per_mask(self) -> list[tuple[float, int, int]]:
        """Score, class and proposal of each proposal with its best class."""
        scores, labels = self.classes.softmax(dim=-1)[:, :-1].max(dim=-1)
        found = zip(scores.tolist(), labels.tolist(), strict=True)
        return [(score, label, k) for k, (score, label) in enumerate(found)]

    def _thing(self, k: int, size: Size) -> tuple[Tensor, float]:
        """Return a thing's pixels, (height, width), and how sure the model is of them, 0..1."""
        one = self.masks[k : k + 1]
        if self.late:
            one = enlarged(one, size)
        inside = one > 0
        quality = float((one.sigmoid() * inside).sum() / (inside.sum() + 1e-6))
        if not self.late:
            inside = enlarged(inside.float(), size, "nearest") > 0
        return inside[0], quality


def joined(masks: list[Mask]) -> Mask:
    """Return the mask of all pixels of masks of one picture."""
    if len(masks) == 1:
        return masks[0]
    return Mask.of(np.logical_or.reduce([mask.pixels() for mask in masks]))


def _fused(found: list[Segment], fuse: Collection[int]) -> list[Segment]:
    """Join the segments of each class to be fused; the first one's score and place are kept."""
    groups: dict[tuple[str, int], list[Segment]] = {}
    for number, one in enumerate(found):
        key = ("class", one.label) if one.label in fuse else ("segment", number)
        groups.setdefault(key, []).append(one)
    return [
        group[0]._replace(mask=joined([one.mask for one in group])) for group in groups.values()
    ]


def _numbered(found: list[Segment]) -> list[Segment]:
    return [one._replace(id=n) for n, one in enumerate(found, start=1)]


def map_of(found: list[Segment], size: Size) -> NDArray[np.int32]:
    """Return the id of the segment of each pixel, 0 for none; the first on top where they meet."""
    numbers = np.zeros(size, dtype=np.int32)
    for one in reversed(found):
        numbers[one.mask.pixels()] = one.id
    return numbers
