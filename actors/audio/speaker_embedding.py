"""speaker-embedding: a voice as a vector."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pyarrow as pa

from actors.speakers.models import load_voiceprint, why_no_voiceprint
from actors.stage import Columns, Defaults, Device, Model, ModelFiles
from actors.voice_stage import VoiceStage


class SpeakerEmbedding(VoiceStage):
    """Turns the voice in a recording into a vector.

    Vectors have length 1, so their product is the cosine: of one speaker it is high, of two lower.
    They tell voices apart only beside vectors of the same model. A recording in which nobody
    speaks is rejected (no_speech).
    """

    models: ClassVar[Defaults] = Defaults(
        hub="anton-l/wav2vec2-base-superb-sv",
        licence="Apache-2.0",
        embedded="embedded:resemblyzer",
    )
    searched: ClassVar[Mapping[str, str]] = {"audio": "embedding"}

    @property
    def writes(self) -> Columns:
        """The vector."""
        return {"embedding": pa.list_(pa.float32())}

    def check(self, config: Mapping[str, Any]) -> str | None:
        """Accept models that turn voices into vectors."""
        return why_no_voiceprint("speaker-embedding", config)

    def load(self, files: ModelFiles, device: Device) -> Model:
        """Load the model, and the one that finds speech."""
        voiceprint = load_voiceprint(files.folder, device)
        return self.compare(
            voiceprint, files, device, lambda voices: {"embedding": voices[0].tolist()}
        )
