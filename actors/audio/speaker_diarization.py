"""speaker-diarization: who speaks when."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from actors.architecture import config_in, why_not
from actors.audio_stage import AudioStage
from actors.speakers.models import (
    ACTIVITY,
    knows_voices,
    load_activity,
    load_voiceprint,
    tells_turns,
)
from actors.speakers.passes import Heard, Hearing, Passes
from actors.speakers.spans import Rules, Span, speech_spans
from actors.speakers.turns import TURN, Turn, borders_of, joined, named, turns_in, window_starts
from actors.speakers.voiceprint import WINDOW, WindowVoiceprint
from actors.stage import (
    Columns,
    Defaults,
    Device,
    Item,
    Model,
    ModelFiles,
    Pass,
    Row,
    model_option,
    option,
)
from actors.voice_stage import check_rates

if TYPE_CHECKING:
    from actors.speakers.frames import FrameDetector

HOP = 0.4
"""Seconds from window to window: a turn's border is found no finer than half of it."""


class SpeakerDiarization(AudioStage):
    """Says who speaks when: turns of SPEAKER_1, SPEAKER_2... in the order of their first words.

    With a model that turns voices into vectors, speech is found by `activity`, heard in windows
    of 1.6 s every 0.4 s, and the windows are gathered by voice. Then turns never overlap: where
    two speak at once, the louder voice has the turn; words of less than about a second are easily
    given to the wrong speaker. Of a long recording, odd moments may pass for a further speaker:
    say `n_speakers` or `max_speakers`, or raise `min_speaker`. A model that tells frame by frame
    which of a few speakers is active (...ForAudioFrameClassification) finds overlaps; it knows as
    many speakers as it was trained for, and ignores the options that gather. Without speech there
    are no turns. The names mean nothing beyond their recording.
    """

    models: ClassVar[Defaults] = Defaults(
        hub="anton-l/wav2vec2-base-superb-sv",
        licence="Apache-2.0",
        embedded="embedded:resemblyzer",
    )

    activity: str | None = model_option(
        hub=ACTIVITY, embedded=ACTIVITY, help="Model that finds speech; frame models need none."
    )
    n_speakers: int | None = option(
        None, "How many speakers there are, if that is known.", ge=1, le=100
    )
    max_speakers: int | None = option(None, "Most speakers.", ge=1, le=100)
    alike: float | None = option(
        None,
        "Mean cosine down to which windows are gathered as one voice: lower finds fewer speakers;"
        " default: 0.7 with Resemblyzer, 0.75 with x-vectors.",
        ge=-1,
        le=1,
    )
    min_speaker: float = option(
        2.0,
        "A voice with less speech, seconds, is no speaker of its own.",
        ge=0,
        le=3_600,
    )
    threshold: float = option(
        0.5, "Chance from which a frame is speech (or a frame model's speaker active).", gt=0, lt=1
    )
    min_speech: float = option(0.25, "Shorter speech is left out, seconds.", ge=0, le=3_600)
    min_silence: float = option(
        0.25, "Shorter silence does not end a turn, seconds.", ge=0, le=3_600
    )

    @model_validator(mode="after")
    def _one_count(self) -> "SpeakerDiarization":
        if self.n_speakers is not None and self.max_speakers is not None:
            raise ValueError("n_speakers says how many there are; leave max_speakers out")
        return self

    @property
    def writes(self) -> Columns:
        """Turns in the order of their starts, and the number of speakers."""
        return {"turns": pa.list_(TURN), "n_speakers": pa.int32()}

    @property
    def rules(self) -> Rules:
        """The options as what counts as speech."""
        return Rules(self.threshold, self.min_speech, self.min_silence)

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models of voices, and models of speakers' activity."""
        if knows_voices(config) or tells_turns(config):
            return None
        needed = "a ...ForXVector or ...ForAudioFrameClassification model, or embedded:resemblyzer"
        return why_not("speaker-diarization", needed, config)

    def model_options(
        self, config: Mapping[str, Any] | None
    ) -> list[tuple[str, Mapping[str, Any]]]:
        """No model that finds speech beside one that tells turns."""
        needless = config is not None and tells_turns(config)
        return [] if needless else super().model_options(config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model, and the one that finds speech where it is needed."""
        if tells_turns(config_in(files.folder)):
            from actors.speakers.frames import FrameDetector

            return FrameTurns(self, FrameDetector(files.folder, device))
        voiceprint = load_voiceprint(files.folder, device)
        detector = load_activity(files, device)
        check_rates(voiceprint.rate, detector.rate)
        hearing = Hearing(detector, lambda row: [self.samples(row, detector.rate)])
        return Passes(hearing, GatheredTurns(self, voiceprint))


class GatheredTurns(Pass):
    """Hears the voice in windows of speech, and gathers windows by voice."""

    def __init__(self, stage: SpeakerDiarization, voiceprint: WindowVoiceprint) -> None:
        self.stage, self.voiceprint = stage, voiceprint
        self.batching = voiceprint.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per window of speech."""
        return [self._windows(row["heard"][0]) for row in rows]

    def _windows(self, heard: Heard) -> list[Item]:
        places = [
            round(start * heard.rate)
            for span in heard.spans(self.stage.rules)
            for start in window_starts(span, WINDOW, HOP)
        ]
        return self.voiceprint.windows(heard.samples, places) if places else []

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: the voice."""
        return list(self.voiceprint.infer(items))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Gather the windows, and cut speech into turns."""
        spans = row["heard"][0].spans(self.stage.rules)
        turns = self._turns(spans, np.stack(outputs)) if outputs else []
        found, count = named(joined(turns, self.stage.min_silence))
        return {"turns": found, "n_speakers": count}

    def _turns(self, spans: Sequence[Span], vectors: Any) -> list[Turn]:
        from actors.speakers.clustering import gather

        cut = [borders_of(span, window_starts(span, WINDOW, HOP), WINDOW) for span in spans]
        seconds = np.concatenate([np.diff(borders) for borders in cut])
        likeness = vectors @ gather(vectors, seconds, self._how()).T
        turns, place = [], 0
        for borders in cut:
            windows = len(borders) - 1
            turns += turns_in(borders, likeness[place : place + windows])
            place += windows
        return turns

    def _how(self) -> Any:
        from actors.speakers.clustering import Gathering

        stage = self.stage
        alike = self.voiceprint.alike if stage.alike is None else stage.alike
        return Gathering(alike, stage.n_speakers, stage.max_speakers, stage.min_speaker)


class FrameTurns(Model):
    """Reads turns off the speakers' activity, frame by frame."""

    def __init__(self, stage: SpeakerDiarization, detector: "FrameDetector") -> None:
        self.stage, self.detector = stage, detector
        self.batching = detector.batching

    def prepare(self, rows: Sequence[Row]) -> list[list[Item]]:
        """One item per window of the recording."""
        rate = self.detector.rate
        return [self.detector.items(self.stage.samples(row, rate)) for row in rows]

    def infer(self, items: Sequence[Item]) -> list[Any]:
        """Per item: how likely each speaker is active, (frames, speakers)."""
        return list(self.detector.infer(items))

    def finish(self, row: Row, outputs: list[Any]) -> Row:
        """Each speaker's spans are turns."""
        activity, hop = self.detector.activity(outputs), self.detector.hop
        turns = [
            Turn(start, end, speaker)
            for speaker, chances in enumerate(activity.T)
            for start, end in speech_spans(chances, hop, len(chances) * hop, self.stage.rules)
        ]
        found, count = named(turns)
        return {"turns": found, "n_speakers": count}
