"""keypoint-matching: the points that two pictures share."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from actors.architecture import is_made_for, why_not
from actors.image_stage import ImageStage
from actors.stage import (
    NO_MODEL,
    Columns,
    Defaults,
    Device,
    Item,
    Model,
    ModelFiles,
    Row,
    option,
)  # fmt: skip

if TYPE_CHECKING:
    from actors.seeing.matches import Matches, PairMatcher

MATCHES = pa.list_(
    pa.struct([(name, pa.float32()) for name in ("x", "y", "other_x", "other_y", "score")])
)


class KeypointMatching(ImageStage):
    """Finds the points that two pictures share: `image` and `other_image` of the same thing.

    `matches` are the surest `max_matches` points, in pixels of each picture's file held upright;
    `match_count` says how many there were. A network does it (EfficientLoFTR, LightGlue,
    SuperGlue; the weights of SuperPoint, on which published LightGlue and SuperGlue models stand,
    are not for commercial use), or, with `model: none`, SIFT, which needs no weights: then a
    score is 1 - d1 / d2, where d1 and d2 say how unlike the nearest and the second nearest point
    look, and only points that are each other's nearest match.
    """

    reads: ClassVar[Columns] = {"image": pa.binary(), "other_image": pa.binary()}
    models: ClassVar[Defaults] = Defaults(
        hub="zju-community/efficientloftr", licence="Apache-2.0", embedded=NO_MODEL
    )

    threshold: float = option(
        0.2, "Matches must score more; with SIFT, 0.2 is Lowe's ratio of 0.8.", ge=0, lt=1
    )
    max_matches: int = option(1000, "Most matches of a pair, the surest.", ge=1, le=100_000)
    max_points: int = option(
        2000, "Points of each picture that SIFT compares; networks decide.", ge=2, le=20_000
    )

    @property
    def writes(self) -> Columns:
        """The matches, the surest first, and how many there were."""
        return {"matches": MATCHES, "match_count": pa.int32()}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept networks that match pictures."""
        if is_made_for(config, "ForKeypointMatching"):
            return None
        needed = f"a ...ForKeypointMatching, or  model: {NO_MODEL}  for SIFT"
        return why_not("keypoint-matching", needed, config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the network, or SIFT where there is none."""
        from actors.seeing.pair_matcher import load_pair_matcher

        folder = None if files == ModelFiles.none() else files.folder
        return PairOfPictures(
            self,
            load_pair_matcher(folder, device, self.threshold, self.max_points, self.image_backend),
        )


class PairOfPictures(Model):
    """Matches the two pictures of a row."""

    def __init__(self, stage: KeypointMatching, matcher: "PairMatcher") -> None:
        self.stage = stage
        self.matcher = matcher
        self.batching = matcher.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per row: its two pictures."""
        return [[self.matcher.item(self._shown(row, "image"), self._shown(row, "other_image"))]
                for row in rows]  # fmt: skip

    def _shown(self, row: Row, name: str) -> Any:
        return self.matcher.show(self.stage.picture(row, self.matcher.side, name))

    def infer(self, items: Sequence[Item]) -> list["Matches"]:
        """Per row its matches."""
        return self.matcher.match(items)

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Name the numbers of the best matches."""
        (found,) = outputs
        best = zip(*(values[: self.stage.max_matches].tolist() for values in found), strict=True)
        matches = [
            {"x": x, "y": y, "other_x": other_x, "other_y": other_y, "score": score}
            for (x, y), (other_x, other_y), score in best
        ]
        return {"matches": matches, "match_count": len(found.scores)}
