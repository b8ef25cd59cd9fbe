"""video-classification: what happens in a video."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from actors.architecture import is_made_for, why_not
from actors.scores import BEST, ScoredStage, Scorer, labels_of, usual_activation
from actors.stage import Columns, Defaults, Device, Item, Model, ModelFiles, Row, option
from actors.video_stage import VideoStage
from actors.watching.clips import stretches
from actors.watching.families import clip_seconds

if TYPE_CHECKING:
    from actors.watching.watcher import Watcher

CLIPS = pa.list_(
    pa.struct(
        [
            ("start", pa.float32()),
            ("end", pa.float32()),
            ("label", pa.string()),
            ("score", pa.float32()),
        ]
    )
)
"""Stretches of a video, in seconds, each with its best label."""


class VideoClassification(ScoredStage, VideoStage):
    """Says what happens in a video, and how sure the model is (0..1).

    The model sees a few frames at once, a clip: as many clips as cover the video, evenly spread,
    but at most `clips`; what lies between is not seen. `label`, `score` and `scores` are of the
    clips' mean, `clips` has the best label of each (seconds). A video shorter than a clip is one
    clip, its frames shown more often. VideoMAE, ViViT, TimeSformer and V-JEPA 2; VideoMAE's
    published weights (MCG-NJU/videomae-base-finetuned-kinetics) are CC-BY-NC-4.0, so they are
    taken by name only. Frames are prepared as the model's folder says, without torchvision.
    """

    models: ClassVar[Defaults] = Defaults(hub="facebook/vjepa2-vitl-fpc16-256-ssv2", licence="MIT")

    clips: int = option(
        4,
        "Most clips of a video: 1 sees its middle, many see all of it. A clip of 16 frames takes"
        " 3 MB of memory.",
        ge=1,
        le=500,
    )
    clip_seconds: float | None = option(
        None,
        "Seconds of a clip; its frames are spread over them. Default: as in training (VideoMAE and"
        " ViViT 2.1, TimeSformer 8.5, V-JEPA 2 5.3 for 16 frames).",
        gt=0,
        le=3_600,
    )

    @property
    def writes(self) -> Columns:
        """The best label, its score, the best few, and the best of each clip."""
        return {**BEST, "clips": CLIPS}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept classifiers of videos."""
        if is_made_for(config, "ForVideoClassification"):
            return None
        return why_not("video-classification", "a ...ForVideoClassification", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the classifier."""
        from transformers import AutoModelForVideoClassification

        from actors.watching.watcher import Watcher

        watcher = Watcher(AutoModelForVideoClassification, files.folder, device)
        scorer = Scorer.of(self, labels_of(watcher.config), usual_activation(watcher.config))
        return VideoClassifier(self, watcher, scorer)


class VideoClassifier(Model):
    """A loaded classifier of videos."""

    def __init__(self, stage: VideoClassification, watcher: "Watcher", scorer: Scorer) -> None:
        self.stage = stage
        self.watcher = watcher
        self.scorer = scorer
        self.batching = watcher.batching
        self.length = stage.clip_seconds or clip_seconds(watcher.config.to_dict())

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per clip."""
        return [[clip.item() for clip in self._clips(row)] for row in rows]

    def _clips(self, row: Row) -> list[Any]:
        film = self.stage.film(row)
        return self.watcher.clips(film, stretches(film.seconds, self.length, self.stage.clips))

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: where the clip lies (seconds), and its scores (float32, one per label)."""
        clips = [item.data for item in items]
        scores = self.scorer.scores(self.watcher.logits(clips))
        return [(clip.start, clip.end, row) for clip, row in zip(clips, scores, strict=True)]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Name the best labels of the clips' mean, and the best one of each."""
        mean = np.mean([scores for _, _, scores in outputs], axis=0)
        return {**self.scorer.best(mean), "clips": [self._named(*one) for one in outputs]}

    def _named(self, start: float, end: float, scores: np.ndarray) -> Row:
        best = int(scores.argmax())
        label = self.scorer.labels[best]
        return {"start": start, "end": end, "label": label, "score": float(scores[best])}
