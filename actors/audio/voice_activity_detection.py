"""voice-activity-detection: where somebody speaks in a recording."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import model_validator

from actors.architecture import why_not
from actors.audio_stage import AudioStage
from actors.speakers.models import FRAMES, SILERO_CLASS, finds_speech, load_detector
from actors.speakers.passes import Heard, Hearing, Passes
from actors.speakers.spans import SPAN, Rules
from actors.stage import Columns, Defaults, Device, Model, ModelFiles, Row, option


class VoiceActivityDetection(AudioStage):
    """Finds where somebody speaks in a recording.

    `segments` are in order and do not overlap, `speech_ratio` is the share of the recording that
    they cover (0..1). Silero and models that classify frames (...ForAudioFrameClassification) do
    it; there is no default on the hub, where Silero has no safetensors. Frame classifiers hear
    30 s at once. A recording of hours is heard piece by piece, so memory beyond its samples does
    not grow.
    """

    models: ClassVar[Defaults] = Defaults(embedded="embedded:silero-vad")

    threshold: float = option(
        0.5,
        "Chance from which a frame is speech; speech ends 0.15 below it.",
        gt=0,
        lt=1,
    )
    min_speech: float = option(0.25, "Shorter speech is left out, seconds.", ge=0, le=3_600)
    min_silence: float = option(
        0.1, "Shorter silence does not end a segment, seconds.", ge=0, le=3_600
    )
    padding: float = option(
        0.03, "Added before and after a segment, seconds; neighbours never overlap.", ge=0, le=60
    )
    max_segment: float | None = option(
        None,
        "Longest segment, seconds: a longer one is cut where speech is least likely.",
        ge=0.5,
        le=86_400,
    )
    speech_label: str | None = option(
        None,
        "Frame classifiers: the label that means speech; default: each label is a speaker.",
    )

    @model_validator(mode="after")
    def _room_in_a_segment(self) -> "VoiceActivityDetection":
        if self.max_segment is not None and self.max_segment <= 2 * self.padding:
            raise ValueError(
                f"max_segment {self.max_segment} leaves no room beside padding {self.padding}"
                " on both sides"
            )
        return self

    @property
    def writes(self) -> Columns:
        """Where speech is, and how much there is."""
        return {
            "segments": pa.list_(SPAN),
            "speech_seconds": pa.float32(),
            "speech_ratio": pa.float32(),
        }

    @property
    def rules(self) -> Rules:
        """The options as what counts as speech."""
        return Rules(
            self.threshold, self.min_speech, self.min_silence, self.padding, self.max_segment
        )

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept Silero and frame classifiers that have the label."""
        if not finds_speech(config):
            needed = f"{SILERO_CLASS} or a ...{FRAMES} model"
            return why_not("voice-activity-detection", needed, config)
        labels = list((config.get("id2label") or {}).values())
        if self.speech_label is not None and self.speech_label not in labels:
            return f"the model has no label '{self.speech_label}' (labels: {', '.join(labels)})"
        return None

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the detector."""
        detector = load_detector(files.folder, device, self.speech_label)
        hearing = Hearing(detector, lambda row: [self.samples(row, detector.rate)])
        return Passes(hearing, Segments(self.rules))


class Segments(Model):
    """Turns what was heard into segments; nothing goes to the device."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    def prepare(self, rows: Any) -> list[list[Any]]:
        """No items."""
        return [[] for _ in rows]

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Name the segments, and sum them up."""
        heard: Heard = row["heard"][0]
        spans = heard.spans(self.rules)
        speech = sum(end - start for start, end in spans)
        return {
            "segments": [{"start": start, "end": end} for start, end in spans],
            "speech_seconds": speech,
            "speech_ratio": min(1.0, speech / heard.seconds),
        }
