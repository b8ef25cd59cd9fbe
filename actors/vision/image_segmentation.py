"""image-segmentation: which part of a picture is what, pixel by pixel."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa

from actors.architecture import is_made_for, why_not
from actors.detections import BOX
from actors.errors import StageFailed, nearest
from actors.image_stage import ImageStage
from actors.seeing.masks import RLE, map_png
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option

if TYPE_CHECKING:
    from actors.seeing.segmenter import Segmenter
    from actors.seeing.segments import Segment, Size
    from actors.seeing.selfie import SelfieSegmenter

SEGMENT = pa.struct(
    [
        ("id", pa.int32()),
        ("label", pa.string()),
        ("score", pa.float32()),
        ("area", pa.int64()),
        ("box", BOX),
        ("rle", RLE),
        ("mask", pa.binary()),
    ]
)
"""One part of a picture: area in pixels; `rle` or `mask`, a PNG, or neither, as is asked for."""

FOR = "a ...ForSemanticSegmentation, a Mask2Former, a MaskFormer or an EoMT"


class ImageSegmentation(ImageStage):
    """Divides a picture into parts: by class, thing by thing, or both.

    `subtask` semantic gives one segment for each class, `id` being the class's number and `score`
    null, as pixels are compared and not parts; instance gives each thing for itself, and things
    may overlap; panoptic gives every pixel to at most one thing or class. Scores are 0..1, areas
    and boxes pixels of the upright picture, and masks have its size. `rle` is COCO's run-length
    encoding, not compressed (what pycocotools.mask.frPyObjects reads). At most `max_segments` are
    kept, the surest, or by class the largest.

    Parts of one class are apart, as in transformers' pipeline, unless `fuse` names the class; the
    parts of a picture in `map` are numbered by their id, 0 where there is none (in semantic maps 0
    is the first class). The original SegFormer weights of NVIDIA are for research only; SegFormer
    models by others have licences of their own. OneFormer is refused: it reads a text as well. The
    embedded model tells people near the camera from all else.
    """

    models: ClassVar[Defaults] = Defaults(
        hub="tue-mps/coco_panoptic_eomt_base_640_2x",
        licence="MIT",
        embedded="embedded:selfie-segmenter",
    )

    subtask: Literal["auto", "semantic", "instance", "panoptic"] = option(
        "auto", "What to tell apart; auto: panoptic where the model can, or else semantic."
    )
    masks: Literal["rle", "png", "none"] = option(
        "rle", "How the pixels of each segment are written."
    )
    map: bool = option(False, "Also write a PNG with the id of each pixel's segment.")
    threshold: float = option(0.5, "Least score of a segment (instance, panoptic).", ge=0, le=1)
    mask_threshold: float = option(
        0.5, "Least probability of a pixel that a segment claims (panoptic).", ge=0, le=1
    )
    overlap_threshold: float = option(
        0.8,
        "Least share of what a segment claims that others leave to it (panoptic).",
        ge=0,
        le=1,
    )
    fuse: tuple[str, ...] = option(
        (), "Classes of which all parts are one segment, such as sky (panoptic)."
    )
    max_segments: int = option(100, "Most segments of a picture.", ge=1, le=10_000)

    @property
    def writes(self) -> Columns:
        """The segments, and their map where it is asked for."""
        columns: dict[str, pa.DataType] = {"segments": pa.list_(SEGMENT)}
        return {**columns, "map": pa.binary()} if self.map else columns

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models that segment, with a subtask that they know and labels that they have."""
        proposes = config.get("model_type") in ("mask2former", "maskformer", "eomt", "eomt_dinov3")
        semantic = is_made_for(config, "ForSemanticSegmentation")
        if not proposes and not semantic:
            return why_not("image-segmentation", FOR, config)
        if semantic and self.subtask in ("instance", "panoptic"):
            return (
                f"the model tells classes apart, and no {self.subtask} segments: subtask: semantic"
            )
        return self._unknown(list((config.get("id2label") or {}).values()) or list(self.fuse))

    def _unknown(self, labels: Sequence[str]) -> str | None:
        """Say which label of `fuse` the model does not have, if any."""
        for label in self.fuse:
            if label not in labels:
                shown = ", ".join(labels[:20]) + (", ..." if len(labels) > 20 else "")
                return (
                    f"option 'fuse': the model has no label '{label}'{nearest(label, labels)};"
                    f" it has: {shown}"
                )
        return None

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model."""
        from actors.seeing.segmenter import open_segmenter

        segmenter = open_segmenter(files.folder, device, self.image_backend, self.subtask)
        labels = segmenter.labels
        unknown = self._unknown(labels)
        if unknown:
            raise StageFailed(unknown)
        return Divider(self, segmenter, labels)


class Divider(Model):
    """A loaded segmentation model."""

    def __init__(
        self,
        stage: ImageSegmentation,
        segmenter: "Segmenter | SelfieSegmenter",
        labels: Sequence[str],
    ) -> None:
        from actors.seeing.segments import Bounds

        self.stage = stage
        self.segmenter = segmenter
        self.labels = labels
        self.batching = segmenter.batching
        fuse = frozenset(labels.index(label) for label in stage.fuse)
        self.bounds = Bounds(stage.threshold, stage.mask_threshold, stage.overlap_threshold, fuse)

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per picture."""
        side = self.segmenter.side
        return [[self.segmenter.item(self.stage.picture(row, side))] for row in rows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per picture its columns: maps of whole pictures are not kept."""
        found = self.segmenter.answer(items, self.bounds)
        return [self._columns(segments, size) for segments, size in found]

    def _columns(self, segments: "list[Segment]", size: "Size") -> Row:
        from actors.seeing.segments import map_of

        kept = self._best(segments)
        columns: Row = {"segments": [self._written(one) for one in kept]}
        return {**columns, "map": map_png(map_of(kept, size))} if self.stage.map else columns

    def _best(self, segments: "list[Segment]") -> "list[Segment]":
        """Return the surest or largest, in the order that they came in."""
        ranked = sorted(segments, key=lambda one: (-(one.score or 0.0), -one.mask.area))
        kept = {one.id for one in ranked[: self.stage.max_segments]}
        return [one for one in segments if one.id in kept]

    def _written(self, one: "Segment") -> Row:
        return {
            "id": one.id,
            "label": self.labels[one.label],
            "score": one.score,
            "area": one.mask.area,
            "box": one.mask.box,
            "rle": one.mask.rle() if self.stage.masks == "rle" else None,
            "mask": one.mask.png() if self.stage.masks == "png" else None,
        }

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """The only item's columns."""
        return dict(outputs[0])
