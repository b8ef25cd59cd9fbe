"""Models of videos: what is known of a family, read from config.json, without torch."""

from collections.abc import Mapping
from typing import Any

STEPS = {
    "videomae": 4 / 30,
    "vivit": 2 / 30,
    "timesformer": 32 / 30,
    "vjepa2": 4 / 12,
}
"""Family -> seconds from frame to frame of a clip, as its classifiers were trained: every 4th frame
of Kinetics' 30 a second (VideoMAE), every 2nd (ViViT), every 32nd (TimeSformer), every 4th of
Something-Something's 12 (V-JEPA 2)."""

STEP = 4 / 30
"""Seconds from frame to frame for any other family."""


def frames_of(config: Mapping[str, Any]) -> int:
    """Return the frames of a clip. Their number is fixed by the weights of most models."""
    return int(config.get("num_frames") or config.get("frames_per_clip") or 16)


def clip_seconds(config: Mapping[str, Any]) -> float:
    """Return the stretch of a video that a clip had in training, in seconds."""
    return frames_of(config) * STEPS.get(str(config.get("model_type")), STEP)
