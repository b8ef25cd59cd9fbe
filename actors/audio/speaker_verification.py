"""speaker-verification: whether two recordings are of one speaker."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from actors.speakers.models import load_voiceprint, why_no_voiceprint
from actors.stage import Columns, Defaults, Device, Model, ModelFiles, Row, option
from actors.voice_stage import VoiceStage

if TYPE_CHECKING:
    from actors.speakers.voiceprint import Vector


class SpeakerVerification(VoiceStage):
    """Says whether two recordings are of one speaker.

    `similarity` is the cosine of the two voices (-1..1; Resemblyzer: 0..1), `same_speaker` whether
    it reaches the threshold. Recordings made in unlike ways (a telephone, a studio) look less
    alike than they are: choose the threshold on recordings of your own. A recording in which
    nobody speaks rejects the row (no_speech).
    """

    reads: ClassVar[Columns] = {"audio": pa.binary(), "other_audio": pa.binary()}
    models: ClassVar[Defaults] = Defaults(
        hub="anton-l/wav2vec2-base-superb-sv",
        licence="Apache-2.0",
        embedded="embedded:resemblyzer",
    )

    threshold: float | None = option(
        None,
        "Similarity from which two voices are one; default: 0.75 with Resemblyzer, 0.86 with"
        " x-vectors.",
        ge=-1,
        le=1,
    )

    @property
    def writes(self) -> Columns:
        """How alike the voices are, and whether they are taken for one."""
        return {"similarity": pa.float32(), "same_speaker": pa.bool_()}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models that turn voices into vectors."""
        return why_no_voiceprint("speaker-verification", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model, and the one that finds speech."""
        voiceprint = load_voiceprint(files.folder, device)
        least = voiceprint.threshold if self.threshold is None else self.threshold

        def answer(voices: list["Vector"]) -> Row:
            similarity = float(voices[0] @ voices[1])
            return {"similarity": similarity, "same_speaker": similarity >= least}

        return self.compare(voiceprint, files, device, answer)
